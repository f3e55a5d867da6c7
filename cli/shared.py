"""What the commands share: the project folder, the console and the layout of examples."""

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from facsimile.errors import FacsimileError

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


def require_project(root: Path) -> None:
    """Raise FacsimileError if `root` is not a project folder."""
    from tasks.provenance.dvc_files import PIPELINE

    if not (root / PIPELINE).is_file():
        raise FacsimileError(
            f"{root.resolve()} is not a project folder: it has no {PIPELINE}; change to one, or "
            "name it with --root"
        )


def examples(*lines: str) -> str:
    """The end of a help page."""
    return "\n".join(["[bold]Examples[/bold]", *(f"  $ {line}" for line in lines)])
