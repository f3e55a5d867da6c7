"""How commands end: bad input and machine faults as one line and an exit status, never a traceback.

Any other exception is a bug and keeps its traceback.
"""

import sys
from typing import Any

import typer
from typer.core import TyperGroup

from facsimile.errors import FacsimileError
from flows import events
from tasks.shared.exit_codes import ExitCode
from tasks.shared.faults import explain_faults


class OneLineErrors(TyperGroup):
    """Root group of the command line; reports the errors of every command, nested ones included."""

    def invoke(self, ctx: typer.Context) -> Any:
        """Run a command, then print the notes that it has collected (`flows.events`).

        Raises:
            typer.Exit: bad input, or a machine fault such as a full disk or missing permissions.
        """
        try:
            with explain_faults():
                return super().invoke(ctx)
        except FacsimileError as error:
            complain(str(error))
            raise typer.Exit(ExitCode.BAD_INPUT) from None
        finally:
            sys.stdout.flush()
            for note in events.take_notes():
                complain(note)


def complain(message: str) -> None:
    """Print one line to stderr with our prefix, because stages and servers write there as well."""
    print(f"facsimile: {message}", file=sys.stderr)
