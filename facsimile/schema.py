"""The face schema as checks: every violation is one line with file, row, column and value."""

from collections.abc import Callable

import pandas as pd
import pandera.pandas as pa
from pandera.errors import SchemaErrors

from facsimile.aus import AUS, NUISANCES
from facsimile.errors import FacsimileError

SPLITS = ("train", "val", "test")
ORIGINS = ("real", "edited", "synthetic")

_UNIT = pa.Check.between(0.0, 1.0, error="outside [0, 1]")


def _text(*checks: pa.Check, **options: bool | str) -> Callable[[], pa.Column]:
    return lambda: pa.Column(str, list(checks), required=False, **options)


_COLUMNS: dict[str, Callable[[], pa.Column]] = {
    "sample_id": _text(unique=True, report_duplicates="exclude_first"),
    "dataset": _text(),
    "subject_id": _text(),
    "split": _text(pa.Check.isin(SPLITS, error=f"not one of {', '.join(SPLITS)}")),
    "origin": _text(pa.Check.isin(ORIGINS, error=f"not one of {', '.join(ORIGINS)}")),
    "edited_au": _text(pa.Check.isin(AUS, error="not an Action Unit"), nullable=True),
    **{
        name: lambda: pa.Column(float, _UNIT, nullable=True, coerce=True, required=False)
        for name in (*AUS, *NUISANCES, "intensity")
    },
}


def validate_faces(faces: pd.DataFrame, source: str) -> pd.DataFrame:
    """Check whichever face columns are present; return `faces` unchanged.

    Args:
        faces: any subset of the columns of ``FACE_SCHEMA``.
        source: file name for the error.

    Raises:
        FacsimileError: the first violation (value outside its range, unknown split, duplicate
            sample_id, subject in two splits) and how many more there are. Rows count from 0.
    """
    schema = pa.DataFrameSchema({name: make() for name, make in _COLUMNS.items()})
    numbered = faces.reset_index(drop=True)
    try:
        schema.validate(numbered, lazy=True)
    except SchemaErrors as error:
        raise FacsimileError(_first_violation(error.failure_cases, numbered, source)) from None
    if {"subject_id", "split"} <= set(faces.columns):
        splits = faces.groupby("subject_id")["split"].unique()
        leaks = splits[splits.str.len() > 1]
        if len(leaks):
            where = " and ".join(sorted(leaks.iloc[0]))
            raise FacsimileError(f"{source}: subject {leaks.index[0]} is in splits {where}")
    return faces


def _first_violation(cases: pd.DataFrame, faces: pd.DataFrame, source: str) -> str:
    # One bad value can fail several checks, and coercion also reports its column as a whole.
    cases = cases.dropna(subset="index").drop_duplicates(["column", "index"])
    case = cases.iloc[0]
    row, column, check = int(case["index"]), case["column"], str(case["check"])
    if check == "not_nullable":
        problem = "is missing"
    elif check.startswith(("coerce_dtype", "dtype")):
        problem = f"{case['failure_case']} not {'text' if 'string' in check else 'a number'}"
    elif "unique" in check:
        problem = f"{case['failure_case']} duplicate"
    else:
        problem = f"{case['failure_case']} {check}"
    sample = ""
    if column != "sample_id" and "sample_id" in faces.columns:
        sample = f" ({faces['sample_id'].iloc[row]})"
    more = f" (and {len(cases) - 1} more)" if len(cases) > 1 else ""
    return f"{source}: row {row}{sample} column {column}: {problem}{more}"
