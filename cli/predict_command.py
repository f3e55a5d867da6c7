"""``facsimile predict``: read the AUs of pictures and videos, or serve the champion over HTTP."""

import csv
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table
from rich.text import Text

from cli.failures import complain
from cli.model_commands import PANEL
from cli.shared import HERE, Align, Crop, Root, console, examples, progress_bar, require_project
from facsimile.errors import FacsimileError
from tasks.shared.exit_codes import ExitCode

if TYPE_CHECKING:
    from flows.model_registry import RegisteredVersion
    from flows.prediction import Reading

SHOWN = 50

commands = typer.Typer()


@commands.command(
    rich_help_panel=PANEL,
    epilog=examples(
        "facsimile predict face.png",
        "facsimile predict photos interview.mp4 --every 25 --csv aus.csv",
        "facsimile predict photos --align my_package.landmarks:find",
        "facsimile predict --serve --port 5001",
    ),
)
def predict(
    faces: Annotated[
        list[Path] | None,
        typer.Argument(
            help="Pictures, videos, or folders of them.", metavar="FACE...", show_default=False
        ),
    ] = None,
    csv_: Annotated[
        Path | None,
        typer.Option(
            "--csv", help="Write one line per face to this file.", metavar="OUT", show_default=False
        ),
    ] = None,
    model: Annotated[
        str,
        typer.Option(help="champion, challenger, number of a version, or a model URI of MLflow."),
    ] = "champion",
    align: Align = "",
    crop: Crop = None,
    every: Annotated[int, typer.Option(min=1, help="Read every n-th frame of videos.")] = 1,
    serve: Annotated[
        bool,
        typer.Option("--serve", help="Answer HTTP requests from this machine until interrupted."),
    ] = False,
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port of --serve.")] = 5001,
    root: Root = HERE,
) -> None:
    """Read the AUs of faces with the champion.

    Prints intensities in [0, 1], with AUs that are present in bold.
    Pictures must be square and aligned like those of the annotated
    dataset, or --align or --crop makes them so. What cannot be read is
    listed; the exit status is 2 if nothing could be.
    """
    require_project(root)
    if serve == bool(faces):
        raise FacsimileError("name pictures, videos or folders, or give --serve, but not both")
    if serve:
        _serve(root, port, model)
        return
    from flows.prediction import find_files
    from flows.prediction import predict as read_faces

    files = find_files(faces)
    with ExitStack() as stack:
        bar = stack.enter_context(progress_bar("reading"))
        task = bar.add_task("reading", total=len(files), visible=len(files) > 1)
        readings = read_faces(
            root,
            files,
            model,
            landmarks=align,
            crop=crop,
            every=every,
            on_file=lambda: bar.advance(task),
        )
        report = _write_csv(readings, csv_) if csv_ else _tabulate(readings)
    for line in report.errors:
        complain(line)
    if report.table is not None:
        console.print(report.table)
    hidden = report.read - SHOWN
    if csv_:
        print(f"{csv_}: {report.read:,} faces")
    elif hidden > 0:
        print(f"and {hidden:,} more faces; --csv OUT writes all")
    if not report.read:
        raise typer.Exit(ExitCode.BAD_INPUT)


class _Report:
    """What is printed at the end.

    Attributes:
        read: number of faces read.
        errors: one line per face that could not be read.
        table: of the first faces; None if there are none.
    """

    def __init__(self) -> None:
        self.read = 0
        self.errors: list[str] = []
        self.table: Table | None = None

    def count(self, reading: "Reading") -> bool:
        """Count a face. Returns whether it was read."""
        if reading.error:
            self.errors.append(f"{reading.name} {reading.error}")
        else:
            self.read += 1
        return not reading.error


def _tabulate(readings: "Iterator[Reading]") -> _Report:
    report = _Report()
    for reading in readings:
        if not report.count(reading) or report.read > SHOWN:
            continue
        aus = [name for name in reading.aus if f"{name}_present" in reading.aus]
        report.table = report.table or Table("face", *aus, box=None)
        cells = [
            Text(f"{reading.aus[au]:.2f}", "bold green" if reading.aus[f"{au}_present"] else "dim")
            for au in aus
        ]
        report.table.add_row(Text(reading.name), *cells)
    return report


def _write_csv(readings: "Iterator[Reading]", path: Path) -> _Report:
    """Write a line per face, also for those that could not be read, with the reason."""
    from facsimile.files import atomic_file

    report = _Report()
    waiting: list[Reading] = []  # errors before the first face, whose columns are not known yet
    writer = None
    with atomic_file(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        for reading in readings:
            if not report.count(reading) and writer is None:
                waiting.append(reading)
                continue
            if writer is None:
                writer = csv.DictWriter(file, ["path", "frame", *reading.aus, "error"])
                writer.writeheader()
                writer.writerows(map(_line, waiting))
            writer.writerow(_line(reading))
        if writer is None:
            raise FacsimileError(f"{path} was not written, no face was read: {report.errors[0]}")
    return report


def _line(reading: "Reading") -> dict[str, object]:
    values = {
        name: int(value) if isinstance(value, bool) else f"{value:.6f}"
        for name, value in reading.aus.items()
    }
    frame = "" if reading.frame is None else reading.frame
    return {"path": reading.path, "frame": frame, **values, "error": reading.error}


def _serve(root: Path, port: int, model: str) -> None:
    from flows.prediction import serve

    def ready(version: "RegisteredVersion", url: str) -> None:
        print(f"{version} at {url}; Ctrl-C ends it", flush=True)

    code = serve(root, port, model, ready)
    if code > 0:
        raise FacsimileError(f"MLflow's scoring server ended with status {code}")
