"""Fit one calibrated edit direction per Action Unit.

    python -m tasks.directions [--device cuda]

Reads   data/ingest, data/encode, data/generator, data/config/au_graph.yaml; params datasets,
        directions.
Writes  data/directions/directions.parquet (DIRECTION_SCHEMA), metrics.json.
"""

from pathlib import Path
from typing import Any

import numpy as np

from facsimile.aus import AUS, NUISANCES
from facsimile.editing import CausalGraph, fit_directions
from tasks.data import AU_GRAPH, load_generator, read_encoded, stack
from tasks.params import Datasets, Directions
from tasks.stage import Compute, main


def run(out: Path, compute: Compute, datasets: Datasets, directions: Directions) -> dict[str, Any]:
    """Fit on the training split of the AU set, nuisances on that of the attribute set."""
    pipeline = load_generator(compute)
    faces = read_encoded(datasets.aus, pipeline, "train")
    attributes = read_encoded(datasets.attributes, pipeline, "train")
    fitted = fit_directions(
        stack(faces["z"]),
        faces[list(AUS)].to_numpy(float),
        faces["subject_id"].to_numpy(),
        CausalGraph.from_yaml(AU_GRAPH),
        z_nuisance=stack(attributes["z"]),
        nuisances=attributes[list(NUISANCES)].to_numpy(float),
        subjects_nuisance=attributes["subject_id"].to_numpy(),
        **directions.model_dump(),
    )
    fitted.save(out / "directions.parquet")
    own = fitted.table[fitted.table["kind"] == "au"]
    cosines = fitted.cosines().loc[list(fitted.aus), list(fitted.aus)].to_numpy()
    return {
        "pearson": float(own["pearson"].mean()),
        "length": float(own["length"].mean()),
        "kept_by_projection": float((own["norm_after"] / own["norm_before"]).mean()),
        "cosine": float(np.abs(cosines[~np.eye(len(cosines), dtype=bool)]).mean()),
    }


if __name__ == "__main__":
    main("directions", run)
