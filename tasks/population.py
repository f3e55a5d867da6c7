"""Render further people of the embedded world, to measure on and to compare generated faces with.

    python -m tasks.population [--workers N]

Nothing was ever chosen by looking at them. Datasets of real people have no further people, so
nothing is rendered for them.

Reads   data/ingest; params datasets, ingest, population.
Writes  data/population/<set>/part-*.parquet (FACE_SCHEMA), metrics.json.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa

from facsimile.faces.tables import FACE_SCHEMA, read_faces, write_shards
from facsimile.world import SETS, iter_faces
from tasks.helpers.rendered import is_rendered
from tasks.params import DatasetsParams, IngestParams, PopulationParams
from tasks.shared.artefacts import BALANCED, FURTHER, INGEST, MEASURED, UNLABELLED
from tasks.shared.stage import Compute, main, progress


def run(
    out: Path,
    compute: Compute,
    datasets: DatasetsParams,
    ingest: IngestParams,
    population: PopulationParams,
) -> dict[str, Any]:
    """Render each set, with as many faces of each further person as annotated people have."""
    if not is_rendered(datasets.aus, ingest):
        return {"faces": 0}
    annotated = read_faces(INGEST / datasets.aus, ["subject_id"])["subject_id"]
    frames = round(len(annotated) / annotated.nunique())
    sizes = {
        MEASURED: SETS[MEASURED].subjects * population.faces_each,
        FURTHER: SETS[FURTHER].subjects * frames,
        BALANCED: population.balanced,
        UNLABELLED: population.unlabelled,
    }
    with progress("population", sum(sizes.values())) as advance:

        def tables(name: str) -> Iterator[pa.Table]:
            for table in iter_faces(name, sizes[name], ingest.size, ingest.seed, compute.workers):
                yield table
                advance(table.num_rows)

        for name in sizes:
            write_shards(tables(name), out / name, FACE_SCHEMA)
    return {"faces": sum(sizes.values()), "people": SETS[MEASURED].subjects} | sizes


if __name__ == "__main__":
    main("population", run)
