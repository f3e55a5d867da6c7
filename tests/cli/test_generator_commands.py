"""``facsimile generator``: published checkpoints are converted, trainings fail in one line."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from cli.app import app
from facsimile.generator import DiffAEPipeline, GeneratorConfig, UNetConfig
from facsimile.pretraining import PRESETS

NAME = "ffhq256_autoenc"
CLI = CliRunner()


@pytest.fixture
def weights(monkeypatch: pytest.MonkeyPatch) -> dict[str, torch.Tensor]:
    """Parameters of a tiny autoencoder, which takes the place of a published one."""
    config = GeneratorConfig(UNetConfig(16, 32, (1, 1), (1, 1), 1, (), 8))
    monkeypatch.setitem(PRESETS, NAME, replace(config, latent_net=None))
    return DiffAEPipeline(PRESETS[NAME]).model.state_dict()


def save(path: Path, prefix: str, weights: dict[str, torch.Tensor]) -> None:
    state = {f"{prefix}.{name}": value for name, value in weights.items()}
    state |= {"conds_mean": torch.zeros(1, 8), "conds_std": torch.ones(1, 8)}
    torch.save({"state_dict": state}, path)


def test_an_imported_generator_comes_with_instructions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, weights: dict[str, torch.Tensor]
) -> None:
    save(tmp_path / "last.ckpt", "ema_model", weights)
    monkeypatch.chdir(tmp_path)
    command = ["generator", "import", "last.ckpt", "--config", NAME]
    result = CLI.invoke(app, command)
    assert result.exit_code == 0, result.stderr
    assert "16 px, without latent prior" in result.output
    assert "ingest.size: 16" in result.output
    DiffAEPipeline.from_pretrained("data/generator")
    # `evaluate` reads this file next to the weights.
    assert json.loads(Path("data/generator/metrics.json").read_text())["parameters"] > 0
    again = CLI.invoke(app, command)
    assert again.exit_code == 2
    assert "data/generator" in again.stderr


def test_raw_weights_are_imported_with_a_warning(
    tmp_path: Path, weights: dict[str, torch.Tensor]
) -> None:
    save(tmp_path / "last.ckpt", "module.model", weights)
    arguments = [str(tmp_path / "last.ckpt"), "--config", NAME]
    out = ["--out", str(tmp_path / "out")]
    result = CLI.invoke(app, ["generator", "import", *arguments, *out])
    assert result.exit_code == 0, result.stderr
    assert "last.ckpt: holds no averaged weights" in result.stderr
    assert "(ema_model.*); using the raw weights (model.*)" in result.stderr
    assert result.stderr.startswith("facsimile: ") and result.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("config", "message"),
    [(NAME, "last.ckpt: not readable"), ("ffhq", "no published generator 'ffhq'")],
)
def test_a_failed_import_is_reported_in_one_line(tmp_path: Path, config: str, message: str) -> None:
    arguments = [str(tmp_path / "last.ckpt"), "--config", config, "--out", str(tmp_path / "out")]
    result = CLI.invoke(app, ["generator", "import", *arguments])
    assert result.exit_code == 2
    assert message in result.stderr and result.stderr.count("\n") == 1
    assert not list(tmp_path.iterdir())
