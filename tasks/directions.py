"""Fit one calibrated edit direction per Action Unit.

    python -m tasks.directions [--device cuda]

Reads   data/ingest, data/encode, data/generator, data/config/au_graph.yaml; params datasets,
        sampling, directions.
Writes  data/directions/directions.parquet (DIRECTION_SCHEMA), leakage.parquet (what an edit by 1
        does to the reading of every AU, on codes and on images), metrics.json.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from facsimile.aus import AUS, NUISANCES
from facsimile.editing import (
    CausalGraph,
    calibrate_on_images,
    fit_directions,
    image_leakage,
)
from facsimile.editing import Directions as FittedDirections
from facsimile.errors import FacsimileError
from facsimile.generator import DiffAEPipeline
from tasks.data import AU_GRAPH, load_generator, read_encoded, read_invertible, stack
from tasks.params import Datasets, Directions, Sampling
from tasks.stage import Compute, main


def run(
    out: Path, compute: Compute, datasets: Datasets, sampling: Sampling, directions: Directions
) -> dict[str, Any]:
    """Fit on the training split of the AU set, nuisances on that of the attribute set."""
    pipeline = load_generator(compute)
    faces = read_encoded(datasets.aus, pipeline, "train")
    attributes = read_encoded(datasets.attributes, pipeline, "train")
    options = directions.model_dump(exclude={"calibration_faces"})
    fitted = fit_directions(
        stack(faces["z"]),
        faces[list(AUS)].to_numpy(float),
        faces["subject_id"].to_numpy(),
        CausalGraph.from_yaml(AU_GRAPH),
        z_nuisance=stack(attributes["z"]),
        nuisances=attributes[list(NUISANCES)].to_numpy(float),
        subjects_nuisance=attributes["subject_id"].to_numpy(),
        **options,
    )
    metrics = {"pearson": float(fitted.table["pearson"].loc[fitted.table["kind"] == "au"].mean())}
    leakages = {"code": fitted.leakage()}
    if directions.calibration_faces:
        examples = calibration_faces(datasets.aus, directions.calibration_faces)
        leakages["image"] = measure(fitted, pipeline, examples, sampling.steps, compute)
        fitted = calibrate_on_images(fitted, leakages["image"])
    fitted.save(out / "directions.parquet")
    pd.concat(leakages, names=["measured_on", "edited_au"]).reset_index().to_parquet(
        out / "leakage.parquet", index=False
    )
    for name, leakage in leakages.items():
        metrics |= leakage_metrics(leakage, name)
    return metrics


def calibration_faces(dataset: str, count: int) -> pd.DataFrame:
    """Neutral training faces, spread evenly over the people."""
    faces = read_invertible(dataset, "train")
    if faces.empty:
        raise FacsimileError(
            "params.yaml: directions.calibration_faces needs inverted training faces; raise "
            "encode.neutral_per_subject.train or set it to 0"
        )
    return faces.iloc[np.linspace(0, len(faces) - 1, min(count, len(faces))).astype(int)]


def measure(
    directions: FittedDirections,
    pipeline: DiffAEPipeline,
    faces: pd.DataFrame,
    steps: int,
    compute: Compute,
) -> pd.DataFrame:
    """`image_leakage` in batches, averaged over the faces."""
    batches = range(0, len(faces), compute.batch_size)
    parts = [faces.iloc[start : start + compute.batch_size] for start in batches]
    weighted = [image_leakage(directions, pipeline, part, steps) * len(part) for part in parts]
    return sum(weighted) / len(faces)


def leakage_metrics(leakage: pd.DataFrame, name: str) -> dict[str, float]:
    """Mean rise of the edited AU's reading, and mean absolute rise of the other AUs'."""
    square = leakage[list(leakage.index)].to_numpy()
    others = square[~np.eye(len(square), dtype=bool)]
    return {
        f"{name}_on_target": float(np.diag(square).mean()),
        f"{name}_off_target": float(np.abs(others).mean()),
    }


if __name__ == "__main__":
    main("directions", run)
