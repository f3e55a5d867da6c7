"""Bring every dataset into one face table, checked at the door.

    python -m tasks.ingest [--workers N]

Reads   params datasets, ingest; Parquet tables of your own under ingest.paths.
Writes  data/ingest/<dataset>/part-*.parquet (FACE_SCHEMA), metrics.json.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from facsimile.aus import ACTIVE_THRESHOLD, AUS
from facsimile.datasets import iter_faces, read_parquet
from facsimile.errors import FacsimileError
from facsimile.schema import validate_faces
from facsimile.tables import FACE_SCHEMA, read_table, shard_paths, write_shards
from tasks.params import Datasets, Ingest
from tasks.stage import Compute, main, progress


def run(out: Path, compute: Compute, datasets: Datasets, ingest: Ingest) -> dict[str, Any]:
    """Write the table of each dataset that `datasets` names."""
    metrics: dict[str, Any] = {"faces": 0, "subjects": 0}
    seen: pd.DataFrame | None = None
    for name in datasets.all:
        write_shards(_read(name, ingest, compute), out / name, FACE_SCHEMA)
        rows = read_table(out / name, [field for field in FACE_SCHEMA.names if field != "image"])
        seen = rows if seen is None else pd.concat([seen, rows], ignore_index=True)
        # All tables together: an id or a person must not turn up in two datasets and two splits.
        validate_faces(seen, f"ingest of {', '.join(datasets.all)}")
        metrics[name] = _summary(rows)
        metrics["faces"] += len(rows)
        metrics["subjects"] += rows["subject_id"].nunique()
    return metrics


def _read(name: str, ingest: Ingest, compute: Compute) -> Iterator[pa.Table]:
    if name in ingest.paths:
        path = ingest.paths[name]
        if not path.exists():
            raise FacsimileError(f"params.yaml: ingest.paths.{name}: {path} does not exist")
        tables = read_parquet(path, name, ingest.size)
        total = sum(pq.read_metadata(file).num_rows for file in shard_paths(path))
    else:
        total = ingest.faces[name]
        tables = iter_faces(name, total, ingest.size, ingest.seed, compute.workers)
    with progress(f"ingest {name}", total) as advance:
        for table in tables:
            yield table
            advance(table.num_rows)


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
