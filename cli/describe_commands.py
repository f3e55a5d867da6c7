"""``facsimile generate``: labelled faces from a sentence."""

from contextlib import nullcontext
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from cli.shared import HERE, Root, console, examples, progress_bar, require_project
from facsimile.faces.aus import ACTIVE_THRESHOLD, AU_NAMES, AUS

commands = typer.Typer()


@commands.command(
    rich_help_panel="Editing",
    epilog=examples(
        'facsimile generate "marked disgust with parted lips, older men" --count 200 -o disgust',
        'facsimile generate "AU4C+9D" -o frowns',
        'facsimile generate "slight smile, no parted lips, young women with glasses" -o smiles',
    ),
)
def generate(
    prompt: Annotated[
        str,
        typer.Argument(
            help="What the faces show: an emotion, muscles in words, or FACS codes; and who: "
            "women or men, young, middle-aged or old, with or without glasses or beard."
        ),
    ],
    out: Annotated[
        Path,
        typer.Option("--out", "-o", help="Folder to write.", metavar="DIR", show_default=False),
    ],
    count: Annotated[int, typer.Option(min=1, help="Number of faces.")] = 24,
    seed: Annotated[int, typer.Option(help="Another seed gives other faces.")] = 0,
    root: Root = HERE,
) -> None:
    """Generate labelled faces of synthetic people from a sentence.

    Writes images/, labels.csv with AU intensities, attributes and
    descriptions, and sheet.png. To train on the faces, name labels.csv
    under ingest.paths in params.yaml, or name the prompt under
    describe.prompts. Labels are what the label decoder sees in the face;
    faces on which it disagrees with the prompt are left out.
    """
    require_project(root)
    with console.status("loading") if console.is_terminal else nullcontext():
        from flows.face_generation import FaceGeneration

        generation = FaceGeneration(root)
    with progress_bar("generating") as bar:
        task = bar.add_task("generating", total=count)
        made = generation.write(prompt, count, out, seed, lambda: bar.advance(task))
    table = Table("AU", "", "faces", "mean intensity", box=None)
    for au in AUS:
        shown = made.table[au][made.table[au] >= ACTIVE_THRESHOLD]
        if len(shown):
            table.add_row(au, AU_NAMES[au], f"{len(shown):,}", f"{shown.mean():.2f}")
    console.print(table)
    print(
        f"{out}: {count:,} faces of {made.table['subject_id'].nunique():,} people; "
        f"{made.rejected:,} left out"
    )
