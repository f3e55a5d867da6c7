"""The command line: what it says without running a flow."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from facsimile.generator import PRESETS, DiffAEPipeline, GeneratorConfig, UNetConfig
from flows import dvc
from flows.cli import app

CLI = CliRunner()


@pytest.mark.parametrize(
    "command",
    [
        "demo",
        "run",
        "status",
        "report",
        "inspect",
        "lineage",
        "release",
        "generator import",
        "generator train",
    ],
)
def test_help_has_examples(command: str) -> None:
    result = CLI.invoke(app, [*command.split(), "--help"])
    assert result.exit_code == 0
    assert f"$ facsimile {command}" in result.output


def test_status_tells_what_would_run_and_why(project: Callable[..., Path]) -> None:
    root = project(
        a={"cmd": "cp in a", "deps": ["in"], "outs": ["a"]},
        b={"cmd": "cp a b", "deps": ["a"], "outs": ["b"]},
        c={"cmd": "echo 1 > c", "outs": ["c"]},
    )
    (root / "in").write_text("1")
    for name in "abc":
        dvc.reproduce(name, root, {}, print)
    (root / "in").write_text("2")
    result = CLI.invoke(app, ["status"])
    assert result.exit_code == 0
    rows = {line.split()[0]: line for line in result.output.splitlines()[1:]}
    assert "changed" in rows["a"] and "in modified" in rows["a"]
    assert "behind" in rows["b"] and "a will run" in rows["b"]
    assert "up to date" in rows["c"]


def test_report_is_the_path_or_an_error(tmp_path: Path) -> None:
    missing = CLI.invoke(app, ["report", "--root", str(tmp_path)])
    assert missing.exit_code == 2
    path = tmp_path / "data" / "evaluate" / "report.html"
    path.parent.mkdir(parents=True)
    path.write_text("<html>")
    found = CLI.invoke(app, ["report", "--root", str(tmp_path)])
    assert found.output.replace("\n", "") == str(path)


@pytest.mark.parametrize(
    ("params", "stage", "message"),
    [
        ("edit: {intensity: 3}\n", "edit", "edit.intensity: 3"),
        (None, "edit", "params.yaml: not a readable YAML file"),
    ],
)
def test_bad_params_are_told_before_anything_starts(
    project: Callable[..., Path],
    capfd: pytest.CaptureFixture[str],
    params: str | None,
    stage: str,
    message: str,
) -> None:
    root = project(edit={"cmd": "x", "outs": ["edit"]})
    if params:
        (root / "params.yaml").write_text(params)
    result = CLI.invoke(app, ["run", stage])
    assert result.exit_code == 2
    assert message in result.stderr


def test_an_imported_generator_tells_how_to_use_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = GeneratorConfig(UNetConfig(16, 32, (1, 1), (1, 1), 1, (), 8))
    monkeypatch.setitem(PRESETS, "ffhq256_autoenc", replace(config, latent_net=None))
    network = DiffAEPipeline(PRESETS["ffhq256_autoenc"]).model.state_dict()
    state = {f"ema_model.{name}": value for name, value in network.items()}
    state |= {"conds_mean": torch.zeros(1, 8), "conds_std": torch.ones(1, 8)}
    torch.save({"state_dict": state}, tmp_path / "last.ckpt")
    monkeypatch.chdir(tmp_path)
    command = ["generator", "import", "last.ckpt", "--config", "ffhq256_autoenc"]
    result = CLI.invoke(app, command)
    assert result.exit_code == 0, result.stderr
    assert "16 px, without latent prior" in result.output
    assert "ingest.size: 16" in result.output
    DiffAEPipeline.from_pretrained("data/generator")
    # What `evaluate` reads of a generator beside its weights.
    assert json.loads(Path("data/generator/metrics.json").read_text())["parameters"] > 0
    again = CLI.invoke(app, command)
    assert again.exit_code == 2
    assert "data/generator" in again.stderr


def test_raw_weights_are_imported_with_one_line_that_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = GeneratorConfig(UNetConfig(16, 32, (1, 1), (1, 1), 1, (), 8))
    monkeypatch.setitem(PRESETS, "ffhq256_autoenc", replace(config, latent_net=None))
    network = DiffAEPipeline(PRESETS["ffhq256_autoenc"]).model.state_dict()
    state = {f"module.model.{name}": value for name, value in network.items()}
    state |= {"conds_mean": torch.zeros(1, 8), "conds_std": torch.ones(1, 8)}
    torch.save({"state_dict": state}, tmp_path / "last.ckpt")
    arguments = [str(tmp_path / "last.ckpt"), "--config", "ffhq256_autoenc"]
    out = ["--out", str(tmp_path / "out")]
    result = CLI.invoke(app, ["generator", "import", *arguments, *out])
    assert result.exit_code == 0, result.stderr
    assert "last.ckpt: holds no averaged weights (ema_model.*); the raw ones are" in result.stderr
    assert result.stderr.startswith("facsimile: ") and result.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("config", "message"),
    [("ffhq256_autoenc", "last.ckpt: not readable"), ("ffhq", "no published generator 'ffhq'")],
)
def test_what_cannot_be_imported_is_told_in_one_line(
    tmp_path: Path, config: str, message: str
) -> None:
    arguments = [str(tmp_path / "last.ckpt"), "--config", config, "--out", str(tmp_path / "out")]
    result = CLI.invoke(app, ["generator", "import", *arguments])
    assert result.exit_code == 2
    assert message in result.stderr and result.stderr.count("\n") == 1
    assert not list(tmp_path.iterdir())
