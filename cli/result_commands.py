"""``facsimile report``, ``inspect`` and ``lineage``: explore the results of a run."""

import webbrowser
from pathlib import Path
from typing import Annotated

import typer

from cli.shared import HERE, Root, console, examples, require_project
from facsimile.errors import FacsimileError
from tasks.shared.exit_codes import ExitCode

PANEL = "Explore the results"
INSPECTION = Path("data/inspect.html")

commands = typer.Typer()

Open = Annotated[bool, typer.Option("--open", help="Open it in the browser.")]


@commands.command(
    rich_help_panel=PANEL, epilog=examples("facsimile report", "facsimile report --open")
)
def report(root: Root = HERE, open_: Open = False) -> None:
    """Print the path of the report."""
    path = print_report(root)
    if open_:
        webbrowser.open(path.as_uri())


@commands.command(
    rich_help_panel=PANEL,
    epilog=examples(
        "facsimile inspect --open",
        "facsimile inspect world-disfa --samples 500",
        "facsimile inspect data/filter/faces --out accepted.html",
    ),
)
def inspect(
    target: Annotated[
        str | None,
        typer.Argument(
            help="Name of an ingested dataset, or path of a face table (a Parquet file or a "
            "folder of shards); all ingested and generated faces by default.",
            metavar="DATASET|PATH",
            show_default=False,
        ),
    ] = None,
    samples: Annotated[
        int, typer.Option(min=1, help="At most this many faces, drawn evenly from all kinds.")
    ] = 2000,
    out: Annotated[
        Path | None,
        typer.Option(help=f"HTML file to write; {INSPECTION} by default.", show_default=False),
    ] = None,
    root: Root = HERE,
    open_: Open = False,
) -> None:
    """Write an HTML page for browsing faces.

    Filters by AU, origin, demographic group and rejection reason.
    Edited faces appear next to their sources. The page works offline.
    """
    from flows.outputs import inspectable

    tables = inspectable(root, target)
    from facsimile.inspection import (
        write_inspection,  # after the check: importing torch takes seconds
    )

    path = (out or root / INSPECTION).resolve()
    write_inspection(**tables, path=path, most=samples)
    print(path)
    if open_:
        webbrowser.open(path.as_uri())


@commands.command(
    rich_help_panel=PANEL,
    epilog=examples(
        "facsimile lineage world-disfa/SN001/000012/edit/AU12",
        "facsimile lineage --rebuild synthetic/000036/mixed/0",
    ),
)
def lineage(
    sample_id: Annotated[
        str, typer.Argument(help="Id of a real or generated face.", metavar="SAMPLE_ID")
    ],
    rebuild: Annotated[
        bool,
        typer.Option(
            "--rebuild",
            help="Generate the face again and compare. Exits with 0 if it is the same, and with "
            "1 if it differs or an input has changed.",
        ),
    ] = False,
    root: Root = HERE,
) -> None:
    """Show the provenance of a face.

    Source, files, parameters, hashes, code revision and filter verdict.
    """
    require_project(root)
    from flows.lineage_report import check, describe

    if not rebuild:
        console.print(describe(root, sample_id))
        return
    same, line = check(root, sample_id)
    print(line)
    if not same:
        raise typer.Exit(ExitCode.FAILED)


def print_report(root: Path) -> Path:
    """Print the path of the report, and return it.

    Raises:
        FacsimileError: there is no report yet.
    """
    from flows.outputs import REPORT

    path = (root / REPORT).resolve()
    if not path.exists():
        raise FacsimileError(f"{path} does not exist yet; run `facsimile demo` to create it")
    print(path)
    return path
