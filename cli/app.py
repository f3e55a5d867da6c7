"""The command ``facsimile`` with all its commands."""

from typing import Annotated

import typer

from cli import (
    dataset_commands,
    describe_commands,
    edit_commands,
    generator_commands,
    init_command,
    model_commands,
    operations_commands,
    predict_command,
    release_command,
    result_commands,
    retrain_command,
    run_commands,
    studio_command,
    version_commands,
)
from cli.failures import OneLineErrors
from facsimile import __version__

app = typer.Typer(
    name="facsimile",
    cls=OneLineErrors,
    no_args_is_help=True,
    rich_markup_mode="rich",
)
app.add_typer(init_command.commands)
app.add_typer(run_commands.commands)
app.add_typer(dataset_commands.commands)
app.add_typer(result_commands.commands)
app.add_typer(version_commands.commands)
app.add_typer(model_commands.commands)
app.add_typer(predict_command.commands)
app.add_typer(retrain_command.commands)
app.add_typer(release_command.commands)
app.add_typer(edit_commands.commands)
app.add_typer(studio_command.commands)
app.add_typer(describe_commands.commands)
app.add_typer(operations_commands.commands)
app.add_typer(generator_commands.commands, name="generator", rich_help_panel="Generators")


def _print_version(asked: bool) -> None:
    if asked:
        print(f"facsimile {__version__}")
        raise typer.Exit


@app.callback()
def main(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version and exit."
        ),
    ] = False,
) -> None:
    """Build balanced, disentangled and traceable face data for Action Unit (AU) detectors."""
