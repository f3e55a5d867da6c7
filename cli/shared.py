"""Shared by the commands: project folder, console and layout of examples."""

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from facsimile.errors import FacsimileError

# A pipe or file has no width, and rich would wrap lines at 80 characters.
console = Console(width=None if sys.stdout.isatty() else 160)

HERE = Path()
Root = Annotated[
    Path,
    typer.Option(
        help="Project folder with dvc.yaml and params.yaml; the current one by default.",
        show_default=False,
    ),
]

Align = Annotated[
    str,
    typer.Option(
        help="What finds the landmarks to align faces by: dlib, or a function, as "
        "PACKAGE.MODULE:FUNCTION; by default that of the annotated dataset in params.yaml, if it "
        "names one.",
        metavar="LANDMARKS",
        show_default=False,
    ),
]
Crop = Annotated[
    bool | None,
    typer.Option(
        "--crop/--no-crop",
        help="Crop pictures that are not square to their centre; by default as for the annotated "
        "dataset in params.yaml.",
        show_default=False,
    ),
]


def require_project(root: Path) -> None:
    """Raise FacsimileError if `root` is not a project folder."""
    from tasks.provenance.dvc_files import PIPELINE

    if not (root / PIPELINE).is_file():
        raise FacsimileError(
            f"{root.resolve()} is not a project folder: it has no {PIPELINE}; change to one, or "
            "name it with --root"
        )


def examples(*lines: str) -> str:
    """Examples at the end of a help page."""
    return "\n".join(["[bold]Examples[/bold]", *(f"  $ {line}" for line in lines)])


def progress_bar(what: str) -> Progress:
    """A bar that counts; it is shown only on a terminal, and disappears at the end."""
    columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
