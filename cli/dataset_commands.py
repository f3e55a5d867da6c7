"""``facsimile check`` and ``facsimile align``: prepare data of one's own for the pipeline."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table
from rich.text import Text

from cli.failures import complain
from cli.shared import HERE, Root, console, examples, progress_bar, require_project
from facsimile.errors import FacsimileError
from tasks.shared.exit_codes import ExitCode

if TYPE_CHECKING:
    from facsimile.datasets import Pictures, Rejects
    from flows.dataset_check import DatasetCheck

PANEL = "Prepare datasets"
SHOWN, EXAMPLES = 10, 3

commands = typer.Typer()


@commands.command(
    rich_help_panel=PANEL,
    epilog=examples(
        "facsimile check faces.csv",
        "facsimile check faces.csv --scale 0-5 --on-error skip",
        "facsimile check DISFA --crop",
        "facsimile check photos/faces.csv --align dlib",
    ),
)
def check(
    path: Annotated[
        Path,
        typer.Argument(
            help="Table, or folder of a dataset.", metavar="FILE_OR_FOLDER", show_default=False
        ),
    ],
    adapter: Annotated[
        str,
        typer.Option(
            help="What reads it, such as table or disfa; recognised from the files by default.",
            metavar="ADAPTER",
            show_default=False,
        ),
    ] = "",
    scale: Annotated[
        str,
        typer.Option(
            help="Scale of the AUs of a table: 0-1, 0-5, 0-100 or percent.",
            metavar="SCALE",
            show_default=False,
        ),
    ] = "",
    first_frame: Annotated[
        int | None,
        typer.Option(help="Number of the first DISFA frame, 0 or 1.", show_default=False),
    ] = None,
    crop: Annotated[
        bool | None,
        typer.Option(
            "--crop/--no-crop",
            help="Crop pictures that are not square to their centre.",
            show_default=False,
        ),
    ] = None,
    align: Annotated[
        str,
        typer.Option(
            help="Align faces by these landmarks: columns, for those of the table; dlib; or a "
            "function, as PACKAGE.MODULE:FUNCTION.",
            metavar="LANDMARKS",
            show_default=False,
        ),
    ] = "",
    on_error: Annotated[
        str,
        typer.Option(
            help="skip: leave invalid faces out; raise: refuse the dataset, as without it.",
            metavar="ACTION",
            show_default=False,
        ),
    ] = "",
    root: Root = HERE,
) -> None:
    """Show what the pipeline would read from a dataset, and what it lacks.

    Writes nothing. Reads all labels and opens all pictures, but decodes only
    some of them. The options are those of section ingest in params.yaml; if
    the dataset is there, its options are the defaults. Prints the lines that
    add it. The exit status is 0 if the dataset can be used, and 1 if not.
    """
    require_project(root)
    from flows.dataset_check import check_dataset

    options = {"adapter": adapter, "scale": scale, "first_frame": first_frame}
    options = {name: value for name, value in options.items() if value not in ("", None)}
    if crop is not None:
        options["crop"] = "center" if crop else None
    with progress_bar("reading") as bar:
        task = bar.add_task("reading", total=None)
        try:
            found = check_dataset(
                root,
                path,
                options,
                align=align,
                on_error=on_error,
                on_picture=lambda done, total: bar.update(task, completed=done, total=total),
            )
        except FacsimileError as error:
            if "under ingest.paths" in str(error):
                raise FacsimileError(f"{error}, or give it as an option here") from error
            raise
    _print_faces(path, found)
    _print_rejects(found.rejects)
    for note in found.notes:
        complain(note)
    _print_roles(found)
    print(f"\nin sections of params.yaml:\n\n{found.params}")
    if not found.usable:
        complain(_next_step(found))
        raise typer.Exit(ExitCode.FAILED)


@commands.command(
    rich_help_panel=PANEL,
    epilog=examples(
        "facsimile align photos -o faces",
        "facsimile align photos -o faces --size 128 --overwrite",
        "facsimile align portrait.jpg -o face.png",
    ),
)
def align(
    path: Annotated[
        Path,
        typer.Argument(
            help="Photograph, or folder of them.", metavar="FILE_OR_FOLDER", show_default=False
        ),
    ],
    out: Annotated[
        Path,
        typer.Option(
            "--out",
            "-o",
            help="PNG to write for a single photograph, otherwise a folder, in which subfolders "
            "are kept.",
            metavar="OUT",
            show_default=False,
        ),
    ],
    size: Annotated[int, typer.Option(min=1, help="Side of the faces, pixels.")] = 256,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace existing files instead of keeping them.")
    ] = False,
) -> None:
    """Crop square, aligned faces from photographs.

    Aligns them like FFHQ, by landmarks that dlib finds. Photographs
    without a face, or with several of similar size, are counted by reason;
    the exit status is 2 if there is no face at all. Needs
    pip install 'facsimile-faces\\[photos]'.
    """
    if not path.exists():
        raise FacsimileError(f"{path} does not exist")
    from facsimile.adapter_modules import LANDMARK_MODELS
    from facsimile.datasets import Rejects
    from facsimile.faces.schema import Violation
    from flows.photo_alignment import align_photos
    from flows.picture_files import name_outputs, passed_over

    files = name_outputs([path], out)
    (model,) = LANDMARK_MODELS
    rejects = Rejects("skip")
    kept = 0
    with progress_bar("aligning") as bar:
        task = bar.add_task("aligning", total=len(files), visible=len(files) > 1)
        for photo in align_photos(files, size, model, overwrite, lambda: bar.advance(task)):
            kept += photo.kept
            if photo.error:
                rejects.add([Violation(str(photo.path), None, None, None, photo.error)])
    _print_rejects(rejects)
    if others := passed_over(path):
        _say(f"passed over, not pictures by their names: {others}")
    aligned = len(files) - len(rejects) - kept
    existing = f"; {kept:,} were there already, --overwrite replaces them" if kept else ""
    print(f"{out}: {aligned:,} of {len(files):,} faces{existing}")
    if not aligned + kept:
        raise typer.Exit(ExitCode.BAD_INPUT)


def _print_faces(path: Path, found: "DatasetCheck") -> None:
    from facsimile.faces.annotation import presence
    from facsimile.faces.aus import AUS, NUISANCES
    from facsimile.faces.schema import SPLITS

    faces = found.faces
    people = faces["subject_id"].nunique()
    _say(f"{path}: adapter {found.adapter}, {len(faces):,} faces of {people:,} people")
    _say(_describe_pictures(found.pictures))
    table = Table("split", "faces", "people", box=None)
    for split in SPLITS:
        rows = faces[faces["split"] == split]
        table.add_row(split, f"{len(rows):,}", f"{rows['subject_id'].nunique():,}")
    console.print(table)
    table = Table("label", "faces", "from", "to", "active", "people active", box=None)
    for name in (*AUS, *NUISANCES):
        values = faces[name].dropna() if name in faces else ()
        if not len(values):
            continue
        active = people = ""
        if name in AUS:
            shown = faces.loc[values.index[presence(values) == 1], "subject_id"]
            active, people = f"{len(shown):,}", f"{shown.nunique():,}"
        span = (f"{values.min():.2f}", f"{values.max():.2f}")
        table.add_row(name, f"{len(values):,}", *span, active, people)
    if table.row_count:
        console.print(table)
    else:
        _say("no face is annotated")


def _describe_pictures(pictures: "Pictures") -> str:
    total = pictures.sizes.total()
    what = "videos" if pictures.videos else "pictures"
    sizes = [f"{n:,} of {width} × {height}" for (width, height), n in pictures.sizes.most_common()]
    more = f" and {len(sizes) - SHOWN:,} other sizes" if len(sizes) > SHOWN else ""
    return (
        f"{total:,} {what}: {', '.join(sizes[:SHOWN])}{more} pixels; decoded {pictures.prepared:,}"
        + (", the first frame of each" if pictures.videos else "")
    )


def _print_rejects(rejects: "Rejects") -> None:
    if not len(rejects):
        _say("no rejects")
        return
    _say(f"{len(rejects):,} rejects:")
    groups = rejects.by_reason()
    for group in groups[:SHOWN]:
        for number, violation in enumerate(group[:EXAMPLES]):
            _say(f"  {f'{len(group):,} ×' if not number else '':>8}  {violation}")
        if len(group) > EXAMPLES:
            _say(f"{'…':>11}")
    if len(groups) > SHOWN:
        _say(f"  and {len(groups) - SHOWN:,} more reasons")


def _print_roles(found: "DatasetCheck") -> None:
    from facsimile.faces.annotation import learnable_aus
    from facsimile.faces.aus import AUS
    from facsimile.faces.readiness import select_split

    labels = select_split(found.faces, "train").reindex(columns=list(AUS))
    _print_role("train, as datasets.aus", found.train, f" with {', '.join(learnable_aus(labels))}")
    _print_role("edit, as datasets.attributes", found.edit)
    if found.only_test:
        _print_role("evaluate, as one of datasets.tests", [])


def _print_role(role: str, lacking: list[str], how: str = "") -> None:
    state = Text("lacking", "yellow") if lacking else Text("ready", "green").append(how)
    console.print(Text(f"{role}: ").append(state))
    for line in lacking:
        _say(f"  {line}")


def _next_step(found: "DatasetCheck") -> str:
    if found.not_square:
        return "some pictures are not square: crop them with --crop, or align faces with --align"
    if found.blocked:
        return "rejects end `ingest`: mend them, or set `on_error: skip` to leave these faces out"
    return "not usable yet: add what is lacking"


def _say(line: str) -> None:
    """Print a line as it is: names of files may look like markup."""
    console.print(line, markup=False, highlight=False, soft_wrap=True)
