"""Faces in the face schema: a Parquet file or a folder of ``part-*.parquet`` shards."""

from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from facsimile.datasets.adapter import ANNOTATIONS, Adapter, ImageSource
from facsimile.datasets.alignment import LANDMARKS
from facsimile.datasets.rejects import Rejects
from facsimile.errors import FacsimileError
from facsimile.tables import column_names, iter_table, read_table, shard_paths

REQUIRED = ("sample_id", "subject_id", "split", "image")
"""What every face needs; whatever else of ``FACE_SCHEMA`` is absent counts as not annotated."""


def recognises(path: Path) -> bool:
    """Whether `path` is a file (of any name) or a folder of shards."""
    return path.is_file() or any(path.glob("part-*.parquet"))


def annotate(path: Path, dataset: str, rejects: Rejects) -> pd.DataFrame:
    """Annotations of a table with at least the columns ``REQUIRED``.

    Args:
        path: Parquet file or folder of shards; ``image`` is a struct of ``bytes`` and ``path``.
        dataset: not needed, faces have ids of their own.
        rejects: not needed, every row can be read.

    Raises:
        FacsimileError: no table, an unreadable file or a missing column.
    """
    tables = []
    for file in shard_paths(path):
        present = column_names(file)
        for name in REQUIRED:
            if name not in present:
                raise FacsimileError(f"{file}: missing column {name}")
        rows = read_table(file, [name for name in (*ANNOTATIONS, *LANDMARKS) if name in present])
        tables.append(rows.assign(file=str(file), line=range(len(rows))))
    return pd.concat(tables, ignore_index=True)


def images(
    annotations: pd.DataFrame, batch_size: int
) -> Iterator[tuple[pd.DataFrame, list[ImageSource]]]:
    """Batches of annotations with the bytes of their images, streamed from the table."""
    for file, rows in annotations.groupby("file", sort=False):
        start = 0
        for batch in iter_table(Path(file), batch_size, ["image"]):
            kept = rows[rows["line"].between(start, start + len(batch) - 1)]
            structs = batch["image"].iloc[kept["line"] - start]
            start += len(batch)
            yield kept, [struct["bytes"] if struct else None for struct in structs]


ADAPTER = Adapter(recognises, annotate, images, image_column="image", whole="file")
