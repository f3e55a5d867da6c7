"""What tables write about faces → what the face schema means by it.

Unknown values, names of splits, faces that a tracker lost, generated faces, and AUs on other scales
than [0, 1]. A scale is never guessed: where the values do not fit the one at hand, the table is
refused as a whole, for taking what happens to lie in [0, 1] would make level A a level E.
"""

import warnings
from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
import pandas as pd

from facsimile.datasets.adapter import TRUTH
from facsimile.datasets.columns import FOUND, LINEAGE, NUMBERS, Columns
from facsimile.datasets.rejects import Rejects
from facsimile.errors import FacsimileError
from facsimile.faces.aus import AUS, NUISANCES
from facsimile.faces.origins import ORIGINS, REAL
from facsimile.faces.schema import SPLIT_NAMES, Finding, Violation

SCALES = {"0-1": 1.0, "0-5": 5.0, "0-100": 100.0, "percent": 100.0}
"""Scale of AUs → its upper end. On 0-5, whole numbers are neutral and the FACS letters A–E."""

UNKNOWN = ("", "nan", "na", "n/a", "#n/a", "<na>", "null", "none", "-", "--", "?")
"""Text, in small letters, for a number that is not known."""

STRAYS = 0.05
"""Share of values beyond a scale up to which they are bad values, not another scale."""

DECLARED_STRAYS = 0.2
"""The same where the scale was declared."""

_SHOWN = 6


@dataclass(frozen=True)
class _Scaled:
    """AUs of a table as numbers (N, A), and where each value stands.

    Attributes:
        rows: annotations, with ``file`` and ``line``.
        columns: names (A,) in the file.
        values: NaN where not known or on another scale.
        scale: key of ``SCALES``.
        declared: whether that was said of the table.
        dataset: its name in params.
    """

    rows: pd.DataFrame
    columns: list[str]
    values: np.ndarray
    scale: str
    declared: bool
    dataset: str


def interpret(
    rows: pd.DataFrame, columns: Columns, scale: str | None, dataset: str, rejects: Rejects
) -> pd.DataFrame:
    """Annotations as the face schema has them, AUs in [0, 1].

    Args:
        rows: values of a table, numbers or text, with ``file`` and ``line``.
        columns: what they are.
        scale: key of ``SCALES``; None: 0-5 for intensities of OpenFace, else 0-1.
        dataset: named in errors.
        rejects: receives faces that a tracker did not find, and values beyond a declared scale.

    Raises:
        FacsimileError: AUs on another scale than they should be, and what `rejects` raises.
    """
    rows = rows.copy()
    for name in {*NUMBERS, FOUND} & set(rows.columns):
        if pd.api.types.is_string_dtype(rows[name]):
            rows[name] = rows[name].mask(rows[name].str.strip().str.lower().isin(UNKNOWN))
    if "split" in rows:
        plain = rows["split"].str.strip()
        rows["split"] = plain.str.lower().map(SPLIT_NAMES).fillna(plain)
    if "subject_id" in rows:
        rows["subject_id"] = rows["subject_id"].str.strip()
    rows = _drop_lost(rows, columns, rejects)
    rows = _lineage(rows)
    _refuse_codes(rows, columns)
    return _to_unit(rows, columns, scale, dataset, rejects)


def _drop_lost(rows: pd.DataFrame, columns: Columns, rejects: Rejects) -> pd.DataFrame:
    """Without the faces that the tracker says it did not find."""
    if FOUND not in rows:
        return rows
    found = pd.to_numeric(rows[FOUND], errors="coerce")
    lost = [
        Finding(
            row,
            columns.taken[FOUND],
            None if pd.isna(rows[FOUND].iat[row]) else str(rows[FOUND].iat[row]),
            "says that no face was found",
        )
        for row in np.flatnonzero(~(found > 0))
    ]
    return rejects.drop(rows.drop(columns=FOUND), lost)


def _lineage(rows: pd.DataFrame) -> pd.DataFrame:
    """With ``LINEAGE`` where faces are generated; without, where they are not or it is not ours."""
    lineage = [name for name in LINEAGE if name in rows]
    origins = rows["origin"].dropna() if "origin" in rows else pd.Series(dtype=str)
    generated = origins[origins != REAL]
    if foreign := sorted(set(generated) - set(ORIGINS)):
        reason = f"{foreign[0]} is none of {', '.join(ORIGINS)}"
        warnings.warn(f"{rows['file'].iat[0]}: column origin not read: {reason}", stacklevel=2)
    if foreign or generated.empty:
        return rows.drop(columns=lineage)
    counts = " and ".join(f"{n:,} {name}" for name, n in generated.value_counts().items())
    warnings.warn(
        f"{rows['file'].iat[0]}: {counts} faces are generated and stay marked so; what is measured "
        "on them says nothing of real people",
        stacklevel=2,
    )
    rows = rows.assign(origin=rows["origin"].fillna(REAL))
    for name in {"intensity", "seed"} & set(lineage):
        numbers = pd.to_numeric(rows[name], errors="coerce")
        rows[name] = numbers.astype("Int64") if name == "seed" else numbers
    return rows


def _refuse_codes(rows: pd.DataFrame, columns: Columns) -> None:
    """Raise FacsimileError for nuisances in years or codes: some of these lie in [0, 1], too."""
    means = {
        "age": "0 is 18 years or younger and 1 is 80 or older, so give (years − 18) / 62",
        "male": "0 is female and 1 is male",
    }
    for name in NUISANCES:
        if name not in rows:
            continue
        values = pd.to_numeric(rows[name], errors="coerce").to_numpy(float)
        finite = values[np.isfinite(values)]
        if _many(_beyond(finite, 1), finite, STRAYS, 2):
            row = np.flatnonzero(np.isfinite(values) & _beyond(values, 1))[0]
            reason = f"is not in [0, 1], nor are others ({_examples(finite)}): "
            reason += means.get(name, "0 is without and 1 is with")
            raise FacsimileError(str(_at(rows, row, columns.taken[name], values[row], reason)))


def _to_unit(
    rows: pd.DataFrame, columns: Columns, scale: str | None, dataset: str, rejects: Rejects
) -> pd.DataFrame:
    """AUs / the upper end of their scale; 0 or 1 where no more than presence is annotated."""
    aus = [au for au in AUS if au in rows]
    if not aus:
        return rows
    numbers = np.column_stack(
        [pd.to_numeric(rows[au], errors="coerce").to_numpy(float) for au in aus]
    )
    flagged = np.zeros(len(rows), bool)
    if "au_presence_only" in rows:
        flagged = rows["au_presence_only"].astype(str).str.lower().map(TRUTH).eq(True).to_numpy()
    sources = [columns.taken[au] for au in aus]
    scales = np.empty(numbers.shape, object)
    for place, au in enumerate(aus):
        usual = "0-5" if au in columns.openface else "0-1"
        scales[:, place] = "0-1" if au in columns.presence else scale or usual
    scales[flagged] = "0-1"
    for name in dict.fromkeys(scales.ravel()):
        values = np.where(scales == name, numbers, np.nan)
        scaled = _Scaled(rows, sources, values, name, name == scale, dataset)
        _refuse_larger(scaled)
        # Faint expressions are all that OpenFace finds in some people.
        levels = [au not in columns.openface for au in aus]
        _refuse_smaller(scaled, values[:, levels])
    tops = np.vectorize(SCALES.get, otypes=[float])(scales)
    rows = _set_presence(rows, aus, numbers, columns, scale)
    found = [
        Finding(row, sources[place], str(rows[aus[place]].iat[row]), reason)
        for row, place, reason in _bad_values(rows, aus, numbers, scales, tops)
    ]
    units = {
        au: rows[au].astype(object).where(np.isnan(numbers[:, k]), numbers[:, k] / tops[:, k])
        for k, au in enumerate(aus)
        if (tops[:, k] != 1).any()
    }
    return rejects.drop(rows.assign(**units), found)


def _bad_values(
    rows: pd.DataFrame, aus: list[str], numbers: np.ndarray, scales: np.ndarray, tops: np.ndarray
) -> list[tuple[int, int, str]]:
    """Row, AU and reason of values that are no number or beyond their scale; of the scale 0-1, that
    of the face schema, `check` finds them."""
    given = np.column_stack([rows[au].notna() for au in aus])
    beyond = (numbers < 0) | (numbers > tops)
    bad = (tops != 1) & given & (np.isnan(numbers) | beyond)
    return [
        (
            row,
            place,
            f"outside {scales[row, place]}, the scale of these AUs"
            if beyond[row, place]
            else "not a number",
        )
        for row, place in np.argwhere(bad)
    ]


def _set_presence(
    rows: pd.DataFrame, aus: list[str], numbers: np.ndarray, columns: Columns, scale: str | None
) -> pd.DataFrame:
    """With ``au_presence_only`` where the table does not say it: true where OpenFace says no more,
    and where nobody was given an intensity, for 1 would be the strongest there is."""
    if "au_presence_only" in rows:
        return rows
    known = numbers[~np.isnan(numbers)]
    binary = not columns.openface and scale in (None, "0-1")
    binary = binary and set(np.unique(known)) in ({0.0, 1.0}, {1.0})
    if columns.presence or binary:
        why = (
            "AU01_c … of OpenFace say no more than presence: taken as au_presence_only"
            if columns.presence
            else "all AUs are 0 or 1, which says no more than presence: taken as au_presence_only; "
            "where 1 is the strongest intensity, add that column with false"
        )
        warnings.warn(f"{rows['file'].iat[0]}: {why}", stacklevel=2)
        return rows.assign(au_presence_only=True)
    return rows


def _refuse_larger(table: _Scaled) -> None:
    """Raise FacsimileError if values beyond their scale are more than single bad ones.

    Of whole numbers, as of presence or FACS levels, a single one above 1 will do: that 0, 1 and 2
    are levels is as likely as that 2 is a slip.
    """
    top = SCALES[table.scale]
    finite = table.values[np.isfinite(table.values)]
    if table.declared:
        other = _many(_beyond(finite, top), finite, DECLARED_STRAYS, 2)
    else:
        other = _many(_beyond(finite, top), finite, STRAYS, 2) or (
            top == 1 and bool((finite > 1).any()) and bool((finite == finite.round()).all())
        )
    apart = [
        _many(_beyond(column, top), column, 0.5, 3)
        for column in (values[np.isfinite(values)] for values in table.values.T)
    ]
    if not other and not any(apart):
        return
    beyond = np.isfinite(table.values) & _beyond(table.values, top)
    if not other:
        beyond[:, np.logical_not(apart)] = False
    row, place = np.argwhere(beyond)[0]
    seen = table.values[:, place] if not other else finite
    seen = seen[np.isfinite(seen)]
    above = seen[seen > top]
    larger = {name: end for name, end in SCALES.items() if end > top and name != "percent"}
    fitting = (name for name, end in larger.items() if (above <= end).mean() > 1 - STRAYS)
    likely = next(fitting, None) if not _many(seen < 0, seen, STRAYS, 2) else None
    if table.scale == "0-1" and set(above) <= {9, 99, 999}:
        cure = ": leave blank what is not known"
    elif likely:
        cure = _cure(likely, table.dataset)
    else:
        cure = f", which is on none of the scales {', '.join(SCALES)}"
    raise FacsimileError(_misfit(table, row, place, seen, cure))


def _refuse_smaller(table: _Scaled, values: np.ndarray) -> None:
    """Raise FacsimileError if all values lie on a smaller scale than was declared."""
    if not table.declared or table.scale == "0-1":
        return
    positive = values[np.isfinite(values) & (values > 0)]
    if len(positive) < 3:
        return
    smaller = [n for n, end in SCALES.items() if positive.max() <= end < SCALES[table.scale]]
    if smaller:
        row, place = np.argwhere(np.isfinite(table.values) & (table.values > 0))[0]
        seen = values[np.isfinite(values)]
        raise FacsimileError(_misfit(table, row, place, seen, _cure(smaller[0], table.dataset)))


def _cure(scale: str, dataset: str) -> str:
    name = scale.replace("-", "–") + (" (percent)" if SCALES[scale] == 100 else "")
    return f", which looks like {name}: set `scale: {scale}` under ingest.paths.{dataset}"


def _misfit(table: _Scaled, row: int, place: int, seen: np.ndarray, cure: str) -> str:
    said = f"`scale: {table.scale}`" if table.declared else f"the scale {table.scale}"
    reason = f"does not fit {said}; there are {_examples(seen)}{cure}"
    value = table.values[row, place]
    return str(_at(table.rows, row, table.columns[place], value, reason))


def _at(rows: pd.DataFrame, row: int, column: str, value: float, reason: str) -> Violation:
    file, line = str(rows["file"].iat[row]), int(rows["line"].iat[row])
    return Violation(file, line, column, f"{value:g}", reason)


def _beyond(values: np.ndarray, top: float) -> np.ndarray:
    return (values < 0) | (values > top)


def _many(beyond: np.ndarray, values: np.ndarray, share: float, least: int) -> bool:
    """Whether values beyond a scale are at least so many, and more than a share of those not 0."""
    return bool(beyond.sum() >= max(least, 1) and beyond.sum() > share * (values != 0).sum())


def _examples(values: Collection[float]) -> str:
    """Some of the different values, the least and the greatest among them."""
    different = [f"{value:g}" for value in np.unique(values)]
    if len(different) > _SHOWN:
        different = [*different[: _SHOWN - 2], "…", *different[-2:]]
    return ", ".join(different)
