"""Check the face schema. A violation is reported in one line with file, row, column and value."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import pandas as pd
import pandera.pandas as pa
from pandera.errors import SchemaErrors

from facsimile.errors import FacsimileError
from facsimile.faces.aus import AUS, NUISANCES
from facsimile.faces.origins import ORIGINS

SPLITS = ("train", "val", "test")
SPLIT_NAMES = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "dev", "development"), "val"),
    **dict.fromkeys(("test", "testing"), "test"),
}
"""Common names of splits, in lower case → our names."""

TEXT_SUFFIXES = (".csv", ".tsv", ".tab", ".txt", ".auw", ".json")
"""Suffixes of files with lines; other files have rows."""

LONGEST_VALUE = 200
"""Maximum characters of a value shown in a message."""

_UNIT = pa.Check.between(0.0, 1.0, error="outside [0, 1]")


def _one_of(values: Collection[str]) -> pa.Check:
    return pa.Check.isin(list(values), error=f"not one of {', '.join(values)}")


def _text(*checks: pa.Check, **options: bool | str) -> Callable[[], pa.Column]:
    return lambda: pa.Column(str, list(checks), required=False, **options)


_COLUMNS: dict[str, Callable[[], pa.Column]] = {
    "sample_id": _text(unique=True, report_duplicates="exclude_first"),
    "dataset": _text(),
    "subject_id": _text(),
    "split": _text(_one_of(SPLITS)),
    "origin": lambda: _text(_one_of(ORIGINS))(),
    "edited_au": _text(pa.Check.isin(AUS, error="not an Action Unit"), nullable=True),
    **{
        name: lambda: pa.Column(float, _UNIT, nullable=True, coerce=True, required=False)
        for name in (*AUS, *NUISANCES, "intensity")
    },
}


class Finding(NamedTuple):
    """An invalid value in a table of faces.

    Attributes:
        row: position, from 0.
        column: column of the value.
        value: the value as text; None if it is missing.
        reason: what is wrong with it.
        tolerated: see `Violation`.
    """

    row: int
    column: str
    value: str | None
    reason: str
    tolerated: bool = False


@dataclass(frozen=True)
class Violation:
    """A problem in a file.

    Attributes:
        file: path of the file.
        line: line of a text file, from 1, or row of a table, from 0; None for the whole file.
        column: column of the value, if any.
        value: the value as written, if any.
        reason: what is wrong with it.
        sample_id: id of the face, if known.
        tolerated: whether it also occurs in valid data; such faces are skipped without an error.
    """

    file: str
    line: int | None
    column: str | None
    value: str | None
    reason: str
    sample_id: str | None = None
    tolerated: bool = False

    def __str__(self) -> str:
        where = []
        if self.line is not None:
            unit = "line" if Path(self.file).suffix.lower() in TEXT_SUFFIXES else "row"
            where.append(f"{unit} {self.line}")
        if self.sample_id is not None and self.column != "sample_id":
            where.append(f"({self.sample_id})")
        if self.column is not None:
            where.append(f"column {self.column}")
        problem = self.reason if self.value is None else f"{_shown(self.value)} {self.reason}"
        parts = (self.file, " ".join(where), problem)
        return ": ".join(_printable(part) for part in parts if part)


def _shown(value: str) -> str:
    """Shorten a value for a message."""
    return value if len(value) <= LONGEST_VALUE else f"{value[:LONGEST_VALUE]}…"


def _printable(text: str) -> str:
    """Escape line breaks and other control characters."""
    if text.isprintable():
        return text
    return "".join(sign if sign.isprintable() else repr(sign)[1:-1] for sign in text)


def locate(
    found: Sequence[Finding], faces: pd.DataFrame, files: Sequence[str], lines: Sequence[int]
) -> list[Violation]:
    """Convert findings in `faces` to violations, given the file and line of each row."""
    ids = [None] * len(faces)
    if "sample_id" in faces.columns:
        ids = [None if pd.isna(name) else name for name in faces["sample_id"]]
    return [
        Violation(files[row], lines[row], column, value, reason, ids[row], tolerated)
        for row, column, value, reason, tolerated in found
    ]


def one_line(violations: Sequence[Violation]) -> str:
    """The first violation and the number of further ones."""
    more = f" (and {len(violations) - 1} more)" if len(violations) > 1 else ""
    return f"{violations[0]}{more}"


def validate_faces(faces: pd.DataFrame, source: str) -> pd.DataFrame:
    """Check the face columns that are present; return `faces` unchanged.

    Args:
        faces: any subset of the columns of ``FACE_SCHEMA``.
        source: file name for the error.

    Raises:
        FacsimileError: the first violation (value outside its range, unknown split, duplicate
            sample_id, subject in two splits) and how many more there are. Rows count from 0.
    """
    if found := find_violations(faces):
        count = len(faces)
        raise FacsimileError(one_line(locate(found, faces, [source] * count, range(count))))
    return faces


def find_violations(faces: pd.DataFrame) -> list[Finding]:
    """All violations in the face columns that are present, sorted by row.

    For a subject in several splits, the rows outside the split of its first face are reported.

    Args:
        faces: any subset of the columns of ``FACE_SCHEMA``.
    """
    schema = pa.DataFrameSchema({name: make() for name, make in _COLUMNS.items()})
    numbered = faces.reset_index(drop=True)
    found = []
    try:
        schema.validate(numbered, lazy=True)
    except SchemaErrors as error:
        # A value can fail several checks, and failed coercion also reports the whole column.
        cases = error.failure_cases.dropna(subset="index").drop_duplicates(["column", "index"])
        found = [_finding(case) for case in cases.itertuples()]
    if {"subject_id", "split"} <= set(numbered.columns):
        sound = numbered.drop(index={finding.row for finding in found})
        splits = sound.groupby("subject_id")["split"]
        for row in sound.index[sound["split"] != splits.transform("first")]:
            subject = sound.at[row, "subject_id"]
            where = " and ".join(sorted(splits.get_group(subject).unique()))
            found.append(Finding(row, "subject_id", subject, f"is in splits {where}"))
    return sorted(found, key=lambda finding: finding.row)


def _finding(case: tuple) -> Finding:
    row, column = int(case.index), case.column
    value, check = str(case.failure_case), str(case.check)
    if check == "not_nullable":
        return Finding(row, column, None, "is missing")
    if check.startswith(("coerce_dtype", "dtype")):
        return Finding(row, column, value, f"not {'text' if 'string' in check else 'a number'}")
    return Finding(row, column, value, "duplicate" if "unique" in check else check)
