"""One HTML file for browsing samples: filtered in the browser, works offline."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from facsimile.errors import FacsimileError
from facsimile.faces.aus import ACTIVE_THRESHOLD, AU_NAMES, AUS
from facsimile.faces.demographics import NOT_ANNOTATED, cell_names
from facsimile.faces.origins import REAL
from facsimile.faces.tables import (
    atomic_file,
    column_names,
    decode_images,
    iter_table,
    read_table,
    shard_paths,
)
from facsimile.rejection_reasons import REASONS
from facsimile.report.html import environment, inline_image
from facsimile.seeding import sample_seed

TEMPLATE = "page.html"
SAMPLES = 2000
REFUSED = 200
"""At most this many faces refused at ingest are listed per dataset; they have no image."""

FACETS = {
    "au": "Action Unit",
    "origin": "Origin",
    "dataset": "Dataset",
    "group": "Gender and age group",
    "verdict": "Accepted or why not",
}
"""Filters of the page → their labels."""

_LABELS = (
    "sample_id",
    "dataset",
    "subject_id",
    "split",
    *AUS,
    "male",
    "age",
    "origin",
    "source_id",
    "edited_au",
)


def write_inspection(
    faces: Sequence[Path],
    path: Path,
    *,
    title: str,
    sources: Sequence[Path] = (),
    decisions: Path | None = None,
    identities: Path | None = None,
    rejects: Mapping[str, Path] | None = None,
    most: int = SAMPLES,
) -> int:
    """Write the page, replacing `path` atomically.

    If there are more faces than `most`, the page takes turns between all combinations of origin,
    dataset, verdict and AU, so that rare ones are included. The same faces give the same page.

    Args:
        faces: tables with at least ``sample_id`` and ``image``, files or folders of shards; of
            ``FACE_SCHEMA``, all columns that exist are shown.
        path: the HTML file.
        title: heading of the page.
        sources: tables of the source faces of edits.
        decisions: the filter's decisions.
        identities: table with the ``gender`` and ``age_group`` of synthetic people.
        rejects: dataset → table of faces refused at ingest.
        most: maximum number of faces on the page.

    Returns:
        Number of faces on the page.

    Raises:
        FacsimileError: a table is unreadable or lacks a column, or there are no faces.
    """
    rows = _labels(faces)
    if rows.empty:
        raise FacsimileError(f"{', '.join(map(str, faces))}: no faces")
    if decisions is not None:
        verdicts = read_table(decisions).drop(columns=["origin", "edited_au"])
        rows = rows.merge(verdicts, on="sample_id", how="left")
    rows["group"] = person_groups(rows, identities)
    picked = _pick(rows, most)
    wanted = {*picked["sample_id"], *picked["source_id"].dropna()}
    images = _images([*faces, *sources], wanted)
    samples = [_sample(row, images) for row in picked.to_dict("records")]
    for name, table in (rejects or {}).items():
        samples += _refused(name, read_table(table).head(REFUSED))
    drawn = f"{len(picked):,} of {len(rows):,} faces, drawn evenly from all kinds."
    page = (
        environment(Path(__file__).parent)
        .get_template(TEMPLATE)
        .render(
            title=title,
            note=drawn if len(picked) < len(rows) else f"All {len(rows):,} faces.",
            facets=FACETS,
            data={
                "samples": samples,
                "images": images,
                "names": {au: AU_NAMES[au] for au in AUS},
                "active": ACTIVE_THRESHOLD,
            },
        )
    )
    with atomic_file(path) as temporary:
        temporary.write_text(page, encoding="utf-8")
    return len(picked)


def _labels(tables: Sequence[Path]) -> pd.DataFrame:
    """Labels of all tables without images; columns that a table lacks are null."""
    parts = []
    for table in tables:
        present = column_names(shard_paths(table)[0])
        if missing := {"sample_id", "image"} - set(present):
            raise FacsimileError(f"{table}: missing column {', '.join(sorted(missing))}")
        rows = read_table(table, [name for name in _LABELS if name in present])
        parts.append(rows.reindex(columns=_LABELS).astype(object))
    rows = pd.concat(parts, ignore_index=True)
    # Accepted faces are also among the generated ones.
    return rows.drop_duplicates("sample_id", ignore_index=True)


def person_groups(rows: pd.DataFrame, identities: Path | None) -> pd.Series:
    """``female young`` and so on: as annotated, or as sampled for synthetic people."""
    groups = pd.Series(cell_names(rows["male"].astype(float), rows["age"].astype(float)))
    if identities is not None:
        people = read_table(identities, ["sample_id", "gender", "age_group"])
        names = people["gender"] + " " + people["age_group"]
        cells = dict(zip(people["sample_id"], names, strict=True))
        groups = rows["source_id"].map(cells).fillna(groups)
    return groups


def _pick(rows: pd.DataFrame, most: int) -> pd.DataFrame:
    """At most `most` rows, taken from all kinds in turn, in the order of `rows`."""
    if len(rows) <= most:
        return rows
    aus = rows[list(AUS)].astype(float).fillna(0)
    strongest = aus.idxmax(axis=1).where(aus.max(axis=1) >= ACTIVE_THRESHOLD)
    kinds = rows.reindex(columns=["origin", "dataset", "reason"])
    # Null is a kind as well, but pandas does not group by it.
    kinds = kinds.assign(au=rows["edited_au"].fillna(strongest)).astype(object).fillna("")
    order = rows["sample_id"].map(lambda name: sample_seed(0, name)).sort_values().index
    turn = kinds.loc[order].groupby(list(kinds.columns)).cumcount()
    return rows.loc[turn.sort_values(kind="stable").index[:most].sort_values()]


def _images(tables: Sequence[Path], wanted: set[str]) -> dict[str, str]:
    """sample_id → data URI."""
    images: dict[str, str] = {}
    for table in tables:
        for batch in iter_table(table, 256, ["sample_id", "image"]):
            here = batch[batch["sample_id"].isin(wanted - images.keys())]
            pixels = decode_images(here, str(table))
            images |= dict(zip(here["sample_id"], map(inline_image, pixels), strict=True))
    return images


def _sample(row: Mapping[str, Any], images: Mapping[str, str]) -> dict[str, Any]:
    row = {name: None if pd.isna(value) else value for name, value in row.items()}
    source = row["source_id"]
    reason = REASONS.get(row.get("reason"))
    scores = {
        check.score_label: row[check.score]
        for check in REASONS.values()
        if row.get(check.score) is not None
    }
    return {
        "id": row["sample_id"],
        "person": row["subject_id"] or "",
        "dataset": row["dataset"] or "",
        "split": row["split"],
        "origin": row["origin"] or REAL,
        "group": row["group"],
        "aus": [None if row[au] is None else round(float(row[au]), 2) for au in AUS],
        "edited": row["edited_au"],
        "accepted": row.get("accepted"),
        "reason": reason and reason.label,
        "why": reason and reason.explanation,
        "scores": {
            label: value if isinstance(value, str) else f"{value:.3g}"
            for label, value in scores.items()
        },
        "image": row["sample_id"],
        "source": source if source in images else None,
        "made_of": source,
    }


def _refused(dataset: str, rejects: pd.DataFrame) -> list[dict[str, Any]]:
    """Faces of one dataset that were refused at ingest, as samples without an image."""
    samples = []
    for row in rejects.to_dict("records"):
        row = {name: None if pd.isna(value) else value for name, value in row.items()}
        where = row["file"] if row["line"] is None else f"{row['file']}: {row['line']:.0f}"
        what = " ".join(str(row[name]) for name in ("column", "value") if row[name] is not None)
        samples.append(
            {
                "id": where,
                "person": "",
                "dataset": dataset,
                "split": None,
                "origin": REAL,
                "group": NOT_ANNOTATED,
                "aus": [None] * len(AUS),
                "edited": None,
                "accepted": False,
                "reason": "refused at ingest",
                "why": f"{where} {what} {row['reason']}",
                "scores": {},
                "image": None,
                "source": None,
                "made_of": None,
            }
        )
    return samples
