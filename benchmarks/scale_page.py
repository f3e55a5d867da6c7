"""docs/scale.md, made from docs/scale.json.

python -m benchmarks.scale_page
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from facsimile.result_table import Table, table_lines

DOCS = Path(__file__).parents[1] / "docs"

BASE, WHOLE = "imports", "in memory"
"""Measurements to compare stages with; see benchmarks/scale.py."""

FACES, SIDE = 45_000 + 320_000, 256
"""Number of faces, real and generated, in the paper, and their side in pixels."""

_PAGE = """\
# Scale

Measured by `python -m benchmarks.scale` on {machine}, with one thread a process.
[scale.json](scale.json) has all numbers, with times and the memory of all processes together.

Stages read face tables in batches. Those that come back to images, to train on them or to compare
them, decode each once into a file in their temporary folder, which all processes of the stage read
and which is removed at the end (`facsimile/faces/picture_store.py`). The file takes up disk space
and the page cache of the system, which shrinks when memory is needed.

## Peak memory

MB of the largest process. `{base}` only imports the code. `{whole}` decodes the accepted faces into
one array, as stages would without the file.

{peaks}

Bytes that each further face adds, from the smallest to the largest number of faces; 0 where the
peaks do not rise:

{growth}

## The size of the paper

The paper has 45,000 real and 320,000 generated faces. Decoded at {side} px, {faces:,} faces ×
{side} × {side} × 3 bytes are {decoded:.1f} GB: the disk space that `filter` and `train` need, and
the memory that they would need without the file. With the bytes that a face of {measured} px adds,
their largest process needs:

{at_scale}

## What grows

Decisions about all faces together need something of each face: ids and labels, and in `filter` also
codes and thumbnails. A code takes 4 bytes a dimension, in several copies: stored, encoded again,
requested, and in double precision while distances are computed. A thumbnail takes 3,072 bytes; only
those of faces with the same active AUs are held at a time. A table that is being written holds up
to 4,096 faces, encoded.

Some stages before `filter` hold something of the size of an image: those that edit or sample faces
the x_T of neutral faces, of which there are far fewer than generated ones, and training an editor
of pictures the images that it learns from.
"""


def to_markdown(results: Mapping[str, Any]) -> str:
    """The page.

    Args:
        results: content of docs/scale.json.
    """
    rows = results["measurements"]
    peaks = {(row["stage"], row["size"], row["faces"]): row["process"] for row in rows}
    cases = list(dict.fromkeys((row["size"], row["faces"]) for row in rows))
    stages = list(dict.fromkeys(row["stage"] for row in rows))
    sizes = list(dict.fromkeys(size for size, _ in cases))
    ends = {size: sorted(count for other, count in cases if other == size) for size in sizes}
    repeated = [size for size in sizes if len(ends[size]) > 1]

    def growth(stage: str, size: int) -> float:
        first, *_, last = ends[size]
        return (peaks[stage, size, last] - peaks[stage, size, first]) / (last - first)

    def expected(stage: str, size: int) -> str:
        most = ends[size][-1]
        return f"{(peaks[stage, size, most] + growth(stage, size) * (FACES - most)) / 1e9:.1f}"

    compared = [stage for stage in stages if stage != BASE]
    tables = {
        "peaks": Table(
            ["", *(f"{count:,} faces of {size} px" for size, count in cases)],
            [[name, *(round(peaks[name, *case] / 1e6) for case in cases)] for name in stages],
        ),
        "growth": Table(
            ["", *(f"{size} px" for size in repeated)],
            [
                [name, *(max(0, round(growth(name, size))) for size in repeated)]
                for name in compared
            ],
        ),
        "at_scale": Table(
            ["", "memory, GB"],
            [[name, expected(name, sizes[0])] for name in compared if name != WHOLE],
        ),
    }
    return _PAGE.format(
        machine=results["machine"],
        base=BASE,
        whole=WHOLE,
        side=SIDE,
        faces=FACES,
        decoded=FACES * SIDE**2 * 3 / 1e9,
        measured=sizes[0],
        **{name: "\n".join(table_lines(table)) for name, table in tables.items()},
    )


if __name__ == "__main__":
    (DOCS / "scale.md").write_text(to_markdown(json.loads((DOCS / "scale.json").read_text())))
