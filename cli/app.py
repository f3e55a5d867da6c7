"""The command ``facsimile`` with all its commands."""

import typer

from cli import (
    edit_commands,
    generator_commands,
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

app = typer.Typer(
    name="facsimile",
    help="Build balanced, disentangled and traceable face data for Action Unit (AU) detectors.",
    cls=OneLineErrors,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
)
app.add_typer(run_commands.commands)
app.add_typer(result_commands.commands)
app.add_typer(version_commands.commands)
app.add_typer(model_commands.commands)
app.add_typer(predict_command.commands)
app.add_typer(retrain_command.commands)
app.add_typer(release_command.commands)
app.add_typer(edit_commands.commands)
app.add_typer(studio_command.commands)
app.add_typer(operations_commands.commands)
app.add_typer(generator_commands.commands, name="generator", rich_help_panel="Generators")
