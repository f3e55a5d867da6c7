"""Faces in the face schema: a Parquet file or folder of shards (see `facsimile.faces.tables`)."""

from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from facsimile.datasets.adapter import Adapter, ImageSource, image_file
from facsimile.datasets.parquet_labels import image_paths, read_shards
from facsimile.datasets.paths import is_file, missing_file_hint, resolve_spelling
from facsimile.datasets.rejects import Rejects
from facsimile.datasets.table_values import interpret
from facsimile.datasets.terms import OWN
from facsimile.faces.schema import Finding
from facsimile.faces.tables import find_shards, iter_table, shard_paths

REQUIRED = ("sample_id", "subject_id", "split", "image")
"""Required columns; other missing columns of ``FACE_SCHEMA`` count as not annotated."""

OTHERS = ("image", "dataset", "z")
"""Columns that are read separately or deliberately ignored."""


def recognises(path: Path) -> bool:
    """Whether `path` is a Parquet file (of any name) or a folder of shards."""
    return bool(find_shards(path))


def annotate(path: Path, dataset: str, rejects: Rejects, scale: str | None = None) -> pd.DataFrame:
    """Annotations of a table with at least the columns ``REQUIRED``.

    Args:
        path: Parquet file or folder of shards; ``image`` is a struct of ``bytes`` and ``path``,
            bytes, or a path. Paths are absolute or relative to the file.
        dataset: name in error messages.
        rejects: receives missing images, and values that `interpret` rejects.
        scale: scale of the AUs, see `interpret`.

    Raises:
        FacsimileError: there is no table, a file is unreadable, a column is missing, misspelt or of
            the wrong type, or AUs are on another scale.
    """
    rows, columns = read_shards(path, REQUIRED, OTHERS)
    paths = [name for file in shard_paths(path) for name in image_paths(file, "image")]
    if set(paths) != {None}:
        folders = map(Path, rows["file"])
        rows["image_path"] = [
            name and resolve_spelling(folder.parent, name)
            for folder, name in zip(folders, paths, strict=True)
        ]
        found = [
            Finding(row.Index, "image", row.image_path, f"is not a file{_hint(row)}")
            for row in rows.itertuples()
            if isinstance(row.image_path, str) and not is_file(image_file(row))
        ]
        rows = rejects.drop(rows, found)
    return interpret(rows, columns, scale, dataset, rejects)


def _hint(row: tuple) -> str:
    return missing_file_hint(image_file(row), row.image_path)


def images(
    annotations: pd.DataFrame, batch_size: int
) -> Iterator[tuple[pd.DataFrame, list[ImageSource]]]:
    """Batches of annotations with the files or bytes of their images, streamed from the table."""
    for file, rows in annotations.groupby("file", sort=False):
        start = 0
        for batch in iter_table(Path(file), batch_size, ["image"]):
            kept = rows[rows["line"].between(start, start + len(batch) - 1)]
            values = batch["image"].iloc[kept["line"] - start]
            start += len(batch)
            pairs = zip(kept.itertuples(), values, strict=True)
            yield kept, [_source(row, value) for row, value in pairs]


def _source(row: tuple, value: dict | bytes | str | None) -> ImageSource:
    if isinstance(getattr(row, "image_path", None), str):
        return image_file(row)
    return value.get("bytes") if isinstance(value, dict) else value


ADAPTER = Adapter(
    recognises,
    annotate,
    images,
    reads="Parquet with `sample_id`, `subject_id`, `split` and the images themselves: `image` is a "
    'struct of `bytes` and `path`, as `datasets.load_dataset("parquet")` writes it, or bytes, or a '
    "path; full schema: `FACE_SCHEMA` in `facsimile/faces/tables.py`",
    labels="its columns",
    terms=OWN,
    image_column="image",
    whole="file",
    options=("scale",),
)
