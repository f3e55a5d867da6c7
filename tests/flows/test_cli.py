"""The command line: what it says without running a flow."""

from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from flows import dvc
from flows.cli import app

CLI = CliRunner()


@pytest.mark.parametrize("command", ["demo", "run", "status", "report"])
def test_help_has_examples(command: str) -> None:
    result = CLI.invoke(app, [command, "--help"])
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
