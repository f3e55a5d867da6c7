"""The command line as a whole: help pages, how fast they appear, and how every command fails."""

import subprocess
import sys

import pytest
import typer
from typer.testing import CliRunner

from cli.app import app
from cli.failures import OneLineErrors
from facsimile.errors import FacsimileError
from facsimile.pretraining import PRESETS
from facsimile.release import LICENCES
from flows import events

COMMANDS = (
    "demo",
    "init",
    "paper",
    "editors",
    "run",
    "status",
    "check",
    "align",
    "verify",
    "report",
    "inspect",
    "lineage",
    "publish",
    "versions",
    "checkout",
    "diff",
    "register",
    "promote",
    "rollback",
    "models",
    "predict",
    "retrain-ci",
    "edit",
    "transfer",
    "generate",
    "studio",
    "release",
    "serve",
    "sync-mlflow",
    "generator import",
    "generator train",
)
SLOW = {"dvc", "mlflow", "networkx", "numpy", "pandas", "prefect", "pyarrow", "pydantic", "torch"}


def help_of(*command: str) -> str:
    result = CliRunner().invoke(app, [*command, "--help"])
    assert result.exit_code == 0
    return result.output


@pytest.mark.parametrize("command", COMMANDS)
def test_help_has_examples(command: str) -> None:
    assert f"$ facsimile {command}" in help_of(*command.split())


def test_no_command_is_untested() -> None:
    found = {command.name or command.callback.__name__ for command in registered(app)}
    assert found == {command.split()[-1] for command in COMMANDS}


def registered(group: typer.Typer) -> list[typer.models.CommandInfo]:
    nested = [registered(info.typer_instance) for info in group.registered_groups]
    return sum(nested, list(group.registered_commands))


def test_help_lists_all_licences_and_published_generators() -> None:
    release, generator = help_of("release"), help_of("generator", "import")
    assert [name for name in LICENCES if name not in release] == []
    assert [name for name in PRESETS if name not in generator] == []


def test_help_imports_no_slow_package() -> None:
    code = "import sys, cli.app; print(*sorted({name.split('.')[0] for name in sys.modules}))"
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout
    assert "typer" in output.split()
    assert SLOW.intersection(output.split()) == set()


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (FacsimileError("faces.csv, row 3: no such file"), "faces.csv, row 3: no such file"),
        (PermissionError(13, "Permission denied", "out"), "out: permission denied for user"),
    ],
)
@pytest.mark.parametrize("nested", [False, True])
def test_every_command_fails_in_one_line(error: Exception, line: str, nested: bool) -> None:
    commands = typer.Typer()

    @commands.command("fail")
    def fail() -> None:
        raise error

    @commands.command("other")
    def other() -> None: ...

    root = typer.Typer(cls=OneLineErrors)
    root.add_typer(commands, name="group" if nested else None)
    result = CliRunner().invoke(root, ["group", "fail"] if nested else ["fail"])
    assert result.exit_code == 2
    assert result.stderr.startswith(f"facsimile: {line}") and result.stderr.count("\n") == 1


def test_a_bug_keeps_its_traceback_and_notes_are_still_printed() -> None:
    root = typer.Typer(cls=OneLineErrors)

    @root.command()
    def fail() -> None:
        events.add_note("this run not in MLflow")
        raise KeyError("bug")

    @root.command()
    def other() -> None: ...

    result = CliRunner().invoke(root, ["fail"])
    assert isinstance(result.exception, KeyError)
    assert result.stderr == "facsimile: this run not in MLflow\n"


def test_the_real_command_line_is_guarded() -> None:
    assert app.info.cls is OneLineErrors
