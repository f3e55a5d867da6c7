"""Plain tables: a CSV or Parquet file with image paths, subjects and Action Units."""

import csv
import os
from pathlib import Path

import pandas as pd

from facsimile.datasets import parquet
from facsimile.datasets.adapter import ANNOTATIONS, Adapter, image_files
from facsimile.datasets.delimited import SUFFIXES, read_delimited
from facsimile.datasets.parquet_labels import read_shards
from facsimile.datasets.paths import resolve_spelling, to_nfc
from facsimile.datasets.rejects import Rejects
from facsimile.datasets.table_values import interpret
from facsimile.datasets.terms import OWN
from facsimile.faces.schema import Finding
from facsimile.faces.tables import atomic_directory, column_names, iter_table, shard_paths

REQUIRED = ("image_path", "subject_id")

EXPORT = "faces.csv"
"""File name of the table that `export` writes."""


def recognises(path: Path) -> bool:
    """Whether `path` is a text file such as CSV, or Parquet with image_path but no image."""
    if _is_text(path):
        return True
    if not parquet.recognises(path):
        return False
    present = column_names(shard_paths(path)[0])
    return "image_path" in present and "image" not in present


def annotate(path: Path, dataset: str, rejects: Rejects, scale: str | None = None) -> pd.DataFrame:
    """Annotations of a table with at least the columns ``REQUIRED``.

    ``image_path`` is absolute or relative to the folder of the table. Without ``sample_id``, it is
    ``<dataset>/<image_path without suffix>``. A blank AU or nuisance is not annotated. Unknown
    columns are ignored with a warning.

    Args:
        path: text with a header (see `read_delimited`) or Parquet, one file or a folder of shards.
        dataset: prefix of the sample_id of faces without one.
        rejects: receives lines with a wrong number of values, faces with duplicate ids, and
            values that `interpret` rejects.
        scale: scale of the AUs, see `interpret`.

    Raises:
        FacsimileError: a file is unreadable or empty, a column is missing, duplicated, misspelt or
            of the wrong type, or AUs are on another scale.
    """
    if _is_text(path):
        rows, columns = read_delimited(path, REQUIRED, rejects)
    else:
        rows, columns = read_shards(path, REQUIRED)
    found = [
        Finding(row, "image_path", None, "is missing")
        if pd.isna(value)
        else Finding(row, "image_path", str(value), "not text")
        for row, value in enumerate(rows["image_path"])
        if not isinstance(value, str)
    ]
    rows = rejects.drop(rows, found)
    rows = interpret(rows, columns, scale, dataset, rejects)
    rows["image_path"] = [
        resolve_spelling(Path(file).parent, name)
        for file, name in zip(rows["file"], rows["image_path"], strict=True)
    ]
    if "sample_id" in rows:
        return rows
    ids = pd.Series(
        [_sample_id(dataset, *pair) for pair in zip(rows["file"], rows["image_path"], strict=True)],
        dtype=str,
    )
    found = [
        Finding(row, "image_path", rows["image_path"].iat[row], f"repeats sample_id {ids[row]}")
        for row in ids.index[ids.duplicated()]
    ]
    return rejects.drop(rows.assign(sample_id=ids), found)


def _is_text(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES and not path.is_dir()


def _sample_id(dataset: str, file: str, image_path: str) -> str:
    folder, image = Path(file).parent.absolute(), Path(os.path.normpath(image_path))
    if image.is_relative_to(folder):
        image = image.relative_to(folder)
    parts = [part for part in (image.parent / image.stem).parts if part not in ("/", "..")]
    return to_nfc("/".join([dataset, *parts]))


def export(faces: Path, folder: Path) -> None:
    """Export a face table to ``faces.csv`` and one image file per face, readable by this adapter.

    Args:
        faces: file or folder of shards in ``FACE_SCHEMA``.
        folder: output folder; replaced atomically.

    Raises:
        FacsimileError: there is no table, a file is unreadable, or a column is missing.
    """
    with (
        atomic_directory(folder) as out,
        (out / EXPORT).open("w", encoding="utf-8", newline="") as file,
    ):
        (out / "images").mkdir()
        writer = csv.writer(file)
        writer.writerow(("image_path", *ANNOTATIONS))
        count = 0
        for batch in iter_table(faces, 256, [*ANNOTATIONS, "image"]):
            values = batch[list(ANNOTATIONS)].astype(object)
            blank = values.where(values.notna(), "")
            for struct, row in zip(batch["image"], blank.itertuples(index=False), strict=True):
                # Numbered, because an id need not be a valid file name.
                path = f"images/{count:06d}.png"
                (out / path).write_bytes(struct["bytes"])
                writer.writerow([path, *row])
                count += 1


ADAPTER = Adapter(
    recognises,
    annotate,
    image_files,
    reads="the CSV above, or Parquet with the same columns; semicolons, tabs and decimal commas "
    "work too, in UTF-8 or UTF-16",
    labels="its columns",
    terms=OWN,
    image_column="image_path",
    options=("scale",),
)
