"""What the commands share: the project folder, the console and the layout of examples."""

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

# A pipe or file has no width of its own, and rich would wrap at 80.
console = Console(width=None if sys.stdout.isatty() else 160)

HERE = Path()
Root = Annotated[
    Path,
    typer.Option(
        help="Project folder with dvc.yaml and params.yaml; the current one by default.",
        show_default=False,
    ),
]


def examples(*lines: str) -> str:
    """The end of a help page."""
    return "\n".join(["[bold]Examples[/bold]", *(f"  $ {line}" for line in lines)])
