"""``facsimile edit`` and ``facsimile transfer``: edit pictures of faces."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from math import isnan
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table
from rich.text import Text

from cli.failures import complain
from cli.shared import HERE, Align, Crop, Root, console, examples, progress_bar, require_project
from facsimile.errors import FacsimileError
from facsimile.faces.aus import AU_NAMES, AUS
from tasks.shared.exit_codes import ExitCode

if TYPE_CHECKING:
    from flows.face_editing import Edit, FaceEditing

PANEL = "Editing"
SHOWN = 20

commands = typer.Typer()

Faces = Annotated[
    list[Path],
    typer.Argument(help="Pictures, or folders of them.", metavar="FACE...", show_default=False),
]
Out = Annotated[
    Path,
    typer.Option(
        "--out",
        "-o",
        help="PNG to write for a single picture, otherwise a folder.",
        metavar="OUT",
        show_default=False,
    ),
]
Method = Annotated[
    str,
    typer.Option(
        help="Editor, such as linear or label-free; by default that of params.yaml.",
        metavar="EDITOR",
        show_default=False,
    ),
]


@commands.command(
    rich_help_panel=PANEL,
    epilog=examples(
        "facsimile edit face.png --au AU12=0.8 --au AU04=0 -o smile.png",
        "facsimile edit photos --au AU06=0.5 --au AU12=1 --method dual-branch -o smiles",
    ),
)
def edit(
    faces: Faces,
    au: Annotated[
        list[str],
        typer.Option(
            "--au",
            help="AU and its intensity in the result: 0 is absent, 1 is FACS level E. Other AUs "
            "stay as they are. Repeat for several AUs.",
            metavar="AU=INTENSITY",
            show_default=False,
        ),
    ],
    out: Out,
    method: Method = "",
    align: Align = "",
    crop: Crop = None,
    root: Root = HERE,
) -> None:
    """Set AUs of faces.

    Prints what the baseline detectors read before and after it.
    Results have the resolution of the generator. Pictures must be square
    and aligned like those of the annotated dataset, or --align or --crop
    makes them so. What cannot be edited is listed; the exit status is 2 if
    nothing could be.
    """
    levels = parse_levels(au)
    _run(
        faces,
        out,
        root,
        method,
        align,
        crop,
        lambda editing, files, on_file: editing.set_aus(files, levels, on_file),
    )


@commands.command(
    rich_help_panel=PANEL,
    epilog=examples(
        "facsimile transfer face.png --like laughing.png -o result.png",
        "facsimile transfer photos --like laughing.png --method label-free -o results",
    ),
)
def transfer(
    faces: Faces,
    like: Annotated[
        Path,
        typer.Option(
            help="Picture of the face whose expression is copied.",
            metavar="REFERENCE",
            show_default=False,
        ),
    ],
    out: Out,
    method: Method = "",
    align: Align = "",
    crop: Crop = None,
    root: Root = HERE,
) -> None:
    """Give faces the expression of another face.

    Editors that take a reference copy its expression; others set all AUs
    to the intensities that the baseline detectors read from it. Pictures
    are prepared as for `facsimile edit`.
    """
    _run(
        faces,
        out,
        root,
        method,
        align,
        crop,
        lambda editing, files, on_file: editing.copy_expression(files, like, on_file),
    )


def parse_levels(values: list[str]) -> dict[str, float]:
    """AU → intensity, from texts such as ``AU12=0.8``; ``AU4`` is AU04.

    Raises:
        FacsimileError: unknown AU, intensity outside [0, 1], or an AU that is given twice.
    """
    levels: dict[str, float] = {}
    for value in values:
        name, separator, text = value.partition("=")
        number = name.strip().upper().removeprefix("AU")
        au = f"AU{int(number):02d}" if number.isdecimal() else name
        if not separator:
            raise FacsimileError(f"--au {value}: write AU=INTENSITY, such as AU12=0.8")
        if au not in AUS:
            known = ", ".join(f"{known} {AU_NAMES[known]}" for known in AUS)
            raise FacsimileError(f"--au {value}: {name} is not one of {known}")
        try:
            level = float(text)
        except ValueError:
            level = float("nan")
        if not 0 <= level <= 1:
            raise FacsimileError(
                f"--au {value}: {text!r} is not an intensity from 0 (absent) to 1 (FACS level E)"
            )
        if au in levels:
            raise FacsimileError(f"--au {value}: {au} is given twice")
        levels[au] = level
    return levels


def check_method(method: str) -> None:
    """Raise FacsimileError if `method` is neither empty nor the name of an editor."""
    from facsimile.editor_options import OPTIONS

    if method and method not in OPTIONS:
        raise FacsimileError(f"--method {method} is not one of {', '.join(OPTIONS)}")


def _run(
    faces: list[Path],
    out: Path,
    root: Path,
    method: str,
    align: str,
    crop: bool | None,
    start: "Callable[[FaceEditing, Mapping[Path, Path], Callable[[], None]], Iterator[Edit]]",
) -> None:
    """Edit all pictures, then print what was read from them."""
    require_project(root)
    check_method(method)
    from flows.face_editing import FaceEditing
    from flows.picture_files import name_outputs

    files = name_outputs(faces, out)
    with console.status("loading") if console.is_terminal else nullcontext():
        editing = FaceEditing(root, method, landmarks=align, crop=crop)
    done: list[Edit] = []
    with progress_bar("editing") as bar:
        task = bar.add_task("editing", total=len(files), visible=len(files) > 1)
        for edited in start(editing, files, lambda: bar.advance(task)):
            if edited.error:
                complain(f"{edited.path} {edited.error}")
            else:
                done.append(edited)
    if done:
        console.print(_table(done[:SHOWN]))
    print(f"{out}: {len(done):,} of {len(files):,} faces")
    if not done:
        raise typer.Exit(ExitCode.BAD_INPUT)


def _table(edits: "list[Edit]") -> Table:
    """AUs that were to be reached: read before the edits, wanted, read after them."""
    columns = [AUS.index(au) for au in AUS if not isnan(edits[0].wanted[AUS.index(au)])]
    table = Table("", "", *(AUS[column] for column in columns), box=None)
    for edit_ in edits:
        for name, what, aus in (
            (str(edit_.path), "original", edit_.before),
            ("", "wanted", edit_.wanted),
            (str(edit_.out), "edited", edit_.after),
        ):
            style = "bold" if what == "edited" else "dim"
            cells = [Text(f"{max(aus[column], 0):.2f}", style) for column in columns]
            table.add_row(Text(name), what, *cells)
    return table
