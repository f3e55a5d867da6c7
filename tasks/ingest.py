"""Read and validate every dataset and write it as a table of faces.

    python -m tasks.ingest [--workers N]

Reads   params datasets, ingest; user datasets under ingest.paths.
Writes  data/ingest/<dataset>/part-*.parquet (FACE_SCHEMA), metrics.json; and, with
        ingest.on_error: skip or if any image is blank, data/ingest/<dataset>/rejects.parquet
        (REJECT_SCHEMA).

Finished parts of user datasets stay in data/.ingest.work until the whole stage is done, so a run
that was killed or failed resumes from there.
"""

import shutil
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from facsimile.datasets import Parts, Rejects, iter_faces, require_faces, write_parts
from facsimile.errors import FacsimileError
from facsimile.faces.aus import ACTIVE_THRESHOLD, AUS
from facsimile.faces.schema import validate_faces
from facsimile.faces.tables import FACE_SCHEMA, read_table, write_shards
from tasks.helpers import readiness
from tasks.helpers.user_datasets import open_dataset, require_source
from tasks.params import DatasetsParams, IngestParams
from tasks.shared.artefacts import DATA
from tasks.shared.stage import Compute, main, progress

LABELS = [name for name in FACE_SCHEMA.names if name != "image"]


def run(
    out: Path, compute: Compute, datasets: DatasetsParams, ingest: IngestParams
) -> dict[str, Any]:
    """Write the table of each dataset in `datasets`."""
    # Not inside `out`, which is deleted on failure, nor in data/ingest, which DVC deletes on rerun.
    work = out.parent / ".ingest.work"
    metrics: dict[str, Any] = {"faces": 0, "subjects": 0, "rejects": 0, "thinned": 0}
    user_parts: dict[str, Parts] = {}
    tables: list[pd.DataFrame] = []
    splits: dict[str, str] = {}
    for name in datasets.all:
        rejects = Rejects(ingest.on_error)
        if name in ingest.paths:
            parts = _read_user_dataset(name, ingest, compute, work, rejects, splits, datasets.aus)
            user_parts[name] = parts
            rows = pd.concat(read_table(part, LABELS) for part in parts.paths)
            (out / name).mkdir(parents=True, exist_ok=True)
            if ingest.on_error == "skip" or len(rejects):
                pq.write_table(rejects.to_table(), out / name / "rejects.parquet")
        else:
            _render_dataset(name, ingest, compute, out)
            rows = read_table(out / name, LABELS)
        tables.append(rows)
        # Validated together: ids must be unique, and a person must be in one split only, across
        # datasets.
        combined = pd.concat(tables, ignore_index=True)
        validate_faces(combined, f"ingest of {', '.join(datasets.all)}")
        splits = dict(zip(combined["subject_id"], combined["split"], strict=True))
        thinned = user_parts[name].thinned if name in user_parts else 0
        metrics[name] = {**_summary(rows), "rejects": len(rejects), "thinned": thinned}
        metrics["faces"] += len(rows)
        metrics["subjects"] += rows["subject_id"].nunique()
        metrics["rejects"] += len(rejects)
        metrics["thinned"] += thinned
    for name, parts in user_parts.items():
        for shard, part in enumerate(parts.paths):
            part.rename(out / name / f"part-{shard:05d}.parquet")
    shutil.rmtree(work, ignore_errors=True)
    return metrics


def _read_user_dataset(
    name: str,
    ingest: IngestParams,
    compute: Compute,
    work: Path,
    rejects: Rejects,
    splits: Mapping[str, str],
    aus: str,
) -> Parts:
    """Convert a user dataset to parts in `work`.

    Args:
        splits: split of each person known from other datasets; kept for the same person here.
        aus: name of the dataset that must be annotated for AUs.
    """
    root = ingest.paths[name].root
    require_source(root, f"params.yaml: ingest.paths.{name}: ")
    dataset = open_dataset(name, ingest, rejects, splits)
    if name == aus:
        _require_au_labels(dataset.faces, root)
    with progress(f"ingest {name}", len(dataset.faces)) as advance:
        parts = write_parts(
            dataset.reader,
            dataset.faces,
            dataset.preprocessing,
            work / name,
            rejects,
            compute.workers,
            advance,
        )
    if ingest.on_error == "skip" or len(rejects):
        table = DATA / "ingest" / name / "rejects.parquet"
        print(f"ingest {name}: {len(rejects):,} rejects, see {table}", file=sys.stderr)
    if ingest.thin:
        print(f"ingest {name}: {parts.thinned:,} near-duplicates removed", file=sys.stderr)
    require_faces(parts.faces, root, rejects)
    return parts


def _require_au_labels(faces: pd.DataFrame, source: Path) -> None:
    """Raise FacsimileError unless at least one face is annotated for at least one AU."""
    if not faces[[au for au in AUS if au in faces]].notna().any(axis=None):
        raise FacsimileError(
            f"{source}: no face is annotated for an Action Unit, as datasets.aus requires; add "
            f"columns {', '.join(AUS)}, or {AUS[0]}_r and {AUS[0]}_c as OpenFace writes them"
        )


def _render_dataset(name: str, ingest: IngestParams, compute: Compute, out: Path) -> None:
    """Render a built-in dataset and write its table."""
    faces = ingest.faces[name]
    with progress(f"ingest {name}", faces) as advance:

        def tables() -> Iterator[pa.Table]:
            for table in iter_faces(name, faces, ingest.size, ingest.seed, compute.workers):
                yield table
                advance(table.num_rows)

        write_shards(tables(), out / name, FACE_SCHEMA)


def _summary(rows: pd.DataFrame) -> dict[str, Any]:
    """Number of faces, people, faces per split and active faces per annotated AU."""
    aus = rows[list(AUS)].dropna(axis=1, how="all")
    return {
        "faces": len(rows),
        "subjects": rows["subject_id"].nunique(),
        "by_split": rows["split"].value_counts().to_dict(),
        "active": (aus >= ACTIVE_THRESHOLD).sum().to_dict(),
    }


if __name__ == "__main__":
    main("ingest", run, after=readiness.report)
