"""``facsimile run`` and ``status``: what they say without running a flow."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli import run_commands
from cli.app import app
from flows import dvc

ROOT = Path(__file__).parents[2]


def test_status_shows_what_would_run_and_why(project: Callable[..., Path]) -> None:
    root = project(
        a={"cmd": "cp in a", "deps": ["in"], "outs": ["a"]},
        b={"cmd": "cp a b", "deps": ["a"], "outs": ["b"]},
        c={"cmd": "echo 1 > c", "outs": ["c"]},
    )
    (root / "in").write_text("1")
    for name in "abc":
        dvc.reproduce(name, root, {}, print)
    (root / "in").write_text("2")
    result = CliRunner().invoke(app, ["status"])
    assert result.exit_code == 0
    rows = {line.split()[0]: line for line in result.output.splitlines()[1:]}
    assert "changed" in rows["a"] and "in modified" in rows["a"]
    assert "behind" in rows["b"] and "a will run" in rows["b"]
    assert "up to date" in rows["c"]


def test_status_of_other_flows_is_shown_on_request(project: Callable[..., Path]) -> None:
    paper = {"cmd": "x", "deps": ["a"], "outs": ["paper"], "meta": {"extra": True}}
    project(a={"cmd": "echo 1 > a", "outs": ["a"]}, paper=paper)

    def rows(*options: str) -> set[str]:
        output = CliRunner().invoke(app, ["status", *options]).stdout
        return {line.split()[0] for line in output.splitlines()[1:]}

    assert rows() == {"a"}
    assert rows("--all") == {"a", "paper"}


def test_other_flows_run_and_name_their_reports(
    project: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    root = project(evaluate={"cmd": "x", "outs": ["e"]}, paper={"cmd": "x", "outs": ["p"]})
    shutil.copy(ROOT / "params.yaml", root / "params.yaml")
    targets = []
    monkeypatch.setattr(
        run_commands, "conduct", lambda root, stages, *_, flow: targets.append((stages, flow))
    )
    result = CliRunner().invoke(app, ["paper", "--preset", "full"])
    assert result.exit_code == 0, result.output
    assert targets == [([], "paper")]
    assert "params.yaml: trials.seeds: [0, 1] → [0, 1, 2, 3, 4]" in result.output
    assert f"report: {root / 'data/paper/report.html'}" in result.output
    result = CliRunner().invoke(app, ["editors"])
    assert result.exit_code == 0, result.output
    assert targets[1:] == [([], "editors")]
    assert f"report: {root / 'data/editor_benchmark/report.html'}" in result.output


@pytest.mark.parametrize(
    ("params", "stage", "message"),
    [
        ("edit: {intensity: 3}\n", "edit", "edit.intensity: 3"),
        (None, "edit", "params.yaml: not a readable YAML file"),
    ],
)
def test_bad_params_are_reported_before_anything_starts(
    project: Callable[..., Path], params: str | None, stage: str, message: str
) -> None:
    root = project(edit={"cmd": "x", "outs": ["edit"]})
    if params:
        (root / "params.yaml").write_text(params)
    result = CliRunner().invoke(app, ["run", stage])
    assert result.exit_code == 2
    assert message in result.stderr


@pytest.mark.parametrize("command", [["status"], ["demo"], ["run", "edit"], ["lineage", "x"]])
def test_a_folder_without_a_project_points_to_root(tmp_path: Path, command: list[str]) -> None:
    result = CliRunner().invoke(app, [*command, "--root", str(tmp_path)])
    assert result.exit_code == 2
    assert f"{tmp_path} is not a project folder" in result.stderr and "--root" in result.stderr
