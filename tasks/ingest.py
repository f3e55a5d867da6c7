"""Bring every dataset into one face table, checked at the door.

    python -m tasks.ingest [--workers N]

Reads   params datasets, ingest; datasets of your own under ingest.paths.
Writes  data/ingest/<dataset>/part-*.parquet (FACE_SCHEMA), metrics.json; with ingest.on_error: skip
        data/ingest/<dataset>/rejects.parquet (REJECT_SCHEMA).
"""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from facsimile.aus import ACTIVE_THRESHOLD, AUS
from facsimile.datasets import ADAPTERS, Aligner, Rejects, iter_faces, recognise
from facsimile.errors import FacsimileError
from facsimile.schema import validate_faces
from facsimile.tables import FACE_SCHEMA, read_table, write_shards
from tasks.params import LANDMARK_COLUMNS, Datasets, Ingest
from tasks.stage import DATA, Compute, main, progress


def run(out: Path, compute: Compute, datasets: Datasets, ingest: Ingest) -> dict[str, Any]:
    """Write the table of each dataset that `datasets` names."""
    metrics: dict[str, Any] = {"faces": 0, "subjects": 0, "rejects": 0}
    seen: pd.DataFrame | None = None
    for name in datasets.all:
        rejects = Rejects(ingest.on_error)
        write_shards(_read(name, ingest, compute, rejects), out / name, FACE_SCHEMA)
        if name in ingest.paths and ingest.on_error == "skip":
            pq.write_table(rejects.to_table(), out / name / "rejects.parquet")
            where = DATA / "ingest" / name / "rejects.parquet"
            print(f"ingest {name}: {len(rejects):,} rejects, see {where}", file=sys.stderr)
        rows = read_table(out / name, [field for field in FACE_SCHEMA.names if field != "image"])
        seen = rows if seen is None else pd.concat([seen, rows], ignore_index=True)
        # All tables together: an id or a person must not turn up in two datasets and two splits.
        validate_faces(seen, f"ingest of {', '.join(datasets.all)}")
        metrics[name] = {**_summary(rows), "rejects": len(rejects)}
        metrics["faces"] += len(rows)
        metrics["subjects"] += rows["subject_id"].nunique()
        metrics["rejects"] += len(rejects)
    return metrics


def _read(name: str, ingest: Ingest, compute: Compute, rejects: Rejects) -> Iterator[pa.Table]:
    if name in ingest.paths:
        source = ingest.paths[name]
        if not source.root.exists():
            raise FacsimileError(f"params.yaml: ingest.paths.{name}: {source.root} does not exist")
        adapter = ADAPTERS[source.adapter or recognise(source.root)]
        total, tables = adapter.read(
            source.root,
            name,
            ingest.size,
            ingest.seed,
            rejects,
            compute.workers,
            aligner=_aligner(name, ingest),
        )
    else:
        total = ingest.faces[name]
        tables = iter_faces(name, total, ingest.size, ingest.seed, compute.workers)
    with progress(f"ingest {name}", total) as advance:
        for table in tables:
            yield table
            advance(table.num_rows)


def _aligner(name: str, ingest: Ingest) -> Aligner | None:
    """What aligns the faces of a dataset, if they are not aligned yet."""
    if name not in ingest.align:
        return None
    by = ingest.align[name]
    try:
        return Aligner(None if by == LANDMARK_COLUMNS else by)
    except FacsimileError as error:
        raise FacsimileError(f"params.yaml: ingest.align.{name}: {error}") from error


def _summary(rows: pd.DataFrame) -> dict[str, Any]:
    """Faces of each split, and how often each annotated AU is active."""
    aus = rows[list(AUS)].dropna(axis=1, how="all")
    return {
        "faces": len(rows),
        "subjects": rows["subject_id"].nunique(),
        "by_split": rows["split"].value_counts().to_dict(),
        "active": (aus >= ACTIVE_THRESHOLD).sum().to_dict(),
    }


if __name__ == "__main__":
    main("ingest", run)
