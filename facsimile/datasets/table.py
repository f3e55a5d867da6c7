"""A plain table: a CSV or Parquet file of image paths, subjects and Action Units."""

import csv
import io
import os
import re
import warnings
from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from facsimile.datasets import parquet
from facsimile.datasets.adapter import ANNOTATIONS, Adapter, image_files
from facsimile.datasets.alignment import LANDMARKS
from facsimile.datasets.rejects import Rejects
from facsimile.errors import FacsimileError
from facsimile.schema import Finding, Violation
from facsimile.tables import atomic_directory, column_names, iter_table, read_table, shard_paths

REQUIRED = ("image_path", "subject_id")
COLUMNS = ("image_path", *ANNOTATIONS, *LANDMARKS)

EXPORT = "faces.csv"
"""What `export` calls its table."""


def recognises(path: Path) -> bool:
    """Whether `path` is a CSV file, or Parquet with image_path and no image."""
    if path.suffix.lower() == ".csv":
        return True
    if not parquet.recognises(path):
        return False
    present = column_names(shard_paths(path)[0])
    return "image_path" in present and "image" not in present


def annotate(path: Path, dataset: str, rejects: Rejects) -> pd.DataFrame:
    """Annotations of a table with at least the columns ``REQUIRED``.

    ``image_path`` is absolute or relative to the folder of the table. Where there is no
    ``sample_id``, it is ``<dataset>/<image_path without its ending>``. A blank AU or nuisance is
    not annotated. Columns beyond ``COLUMNS`` are not read, with a warning.

    Args:
        path: CSV (UTF-8, commas, a header) or Parquet, one file or a folder of shards.
        dataset: begins the sample_id of faces that have none.
        rejects: receives lines with too many or too few values, and faces that cannot be told
            apart.

    Raises:
        FacsimileError: an unreadable or empty file, a missing, doubled or misspelt column.
    """
    if path.suffix.lower() == ".csv":
        rows = _read_csv(path, rejects)
    else:
        tables = []
        for file in shard_paths(path):
            table = read_table(file, _known_columns(column_names(file), file))
            tables.append(table.assign(file=str(file), line=range(len(table))))
        rows = pd.concat(tables, ignore_index=True)
    found = [
        Finding(row, "image_path", None, "is missing")
        if pd.isna(value)
        else Finding(row, "image_path", str(value), "not text")
        for row, value in enumerate(rows["image_path"])
        if not isinstance(value, str)
    ]
    rows = rejects.drop(rows, found)
    if "sample_id" in rows:
        return rows
    ids = pd.Series(
        [_sample_id(dataset, *pair) for pair in zip(rows["file"], rows["image_path"], strict=True)],
        dtype=str,
    )
    found = [
        Finding(row, "image_path", rows["image_path"].iat[row], f"gives sample_id {ids[row]} again")
        for row in ids.index[ids.duplicated()]
    ]
    return rejects.drop(rows.assign(sample_id=ids), found)


def _read_csv(file: Path, rejects: Rejects) -> pd.DataFrame:
    """Values of a CSV file as text, null where blank, with file and line."""
    content = file.read_bytes()
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        found = content[error.start : error.start + 1].hex()
        raise FacsimileError(f"{file}: line {line}: byte 0x{found} is not UTF-8 text") from error
    # Not pandas: it does not know the line of a row, and guesses types (subject 001 is not 1).
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    header: list[str] = []
    known: list[str] = []
    rows: list[list[str | None]] = []
    lines: list[int] = []
    violations: list[Violation] = []
    line = 1
    try:
        for values in reader:
            values = [value.strip() or None for value in values]
            if any(values) and not header:
                header = [value or "" for value in values]
                known = _known_columns(header, file)
            elif any(values) and len(values) == len(header):
                rows.append([values[header.index(name)] for name in known])
                lines.append(line)
            elif any(values):
                reason = f"has {len(values)} values, the header {len(header)}"
                violations.append(Violation(str(file), line, None, None, reason))
            line = reader.line_num + 1
    except csv.Error as error:
        raise FacsimileError(f"{file}: line {line}: not readable as CSV ({error})") from error
    if not header:
        raise FacsimileError(f"{file}: empty file")
    rejects.add(violations)
    return pd.DataFrame(rows, columns=known, dtype="str").assign(file=str(file), line=lines)


def _known_columns(present: Iterable[str], file: Path) -> list[str]:
    """Those of ``COLUMNS`` that are present; refuses what would be lost by a slip of spelling."""
    named = [name for name in present if name]
    known = [name for name in named if name in COLUMNS]
    meant = {_spelling(name): name for name in COLUMNS}
    for position, name in enumerate(named):
        if name in named[:position]:
            raise FacsimileError(f"{file}: column {name} is there twice")
        if name not in COLUMNS and _spelling(name) in meant:
            raise FacsimileError(f"{file}: column {name} must be called {meant[_spelling(name)]}")
    for name in REQUIRED:
        if name not in known:
            raise FacsimileError(f"{file}: missing column {name}, found {', '.join(named)}")
    if unread := [name for name in named if name not in known]:
        warnings.warn(f"{file}: columns not read: {', '.join(unread)}", stacklevel=2)
    return known


def _spelling(name: str) -> str:
    """Case, separators and leading zeros apart: AU1 is AU01, Subject-ID is subject_id."""
    plain = re.sub(r"[\W_]", "", name).lower()
    return re.sub(r"^au0*(?=\d)", "au", plain)


def _sample_id(dataset: str, file: str, image_path: str) -> str:
    folder, image = Path(file).parent.absolute(), Path(os.path.normpath(image_path))
    if image.is_relative_to(folder):
        image = image.relative_to(folder)
    parts = [part for part in (image.parent / image.stem).parts if part not in ("/", "..")]
    return "/".join([dataset, *parts])


def export(faces: Path, folder: Path) -> None:
    """Write a face table as this adapter reads it: ``faces.csv`` and a picture a face beside it.

    Args:
        faces: file or folder of shards in ``FACE_SCHEMA``.
        folder: is replaced as a whole.

    Raises:
        FacsimileError: no table, an unreadable file or a missing column.
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
                # Numbered: an id may be no name of a file.
                path = f"images/{count:06d}.png"
                (out / path).write_bytes(struct["bytes"])
                writer.writerow([path, *row])
                count += 1


ADAPTER = Adapter(recognises, annotate, image_files, image_column="image_path")
