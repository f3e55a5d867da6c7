"""Fit one calibrated edit direction per Action Unit.

    python -m tasks.directions [--device cuda]

Reads   data/ingest, data/encode, data/generator, data/config/au_graph.yaml; params datasets,
        sampling, directions.
Writes  data/directions/directions.parquet (DIRECTION_SCHEMA), rises.parquet (what edits of growing
        length did to readings), metrics.json.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from facsimile.aus import AUS, NUISANCES
from facsimile.detection import train_oracle
from facsimile.editing import (
    CausalGraph,
    edited_rise,
    fit_directions,
    image_scales,
    real_rise,
    stretch,
)
from facsimile.editing import Directions as FittedDirections
from facsimile.errors import FacsimileError
from facsimile.generator import DiffAEPipeline
from facsimile.tables import decode_images, read_faces
from tasks.data import (
    AU_GRAPH,
    INGEST,
    load_generator,
    of_split,
    read_encoded,
    read_invertible,
    spread,
    stack,
)
from tasks.params import Datasets, Directions, Sampling
from tasks.stage import Compute, main, progress


def run(
    out: Path, compute: Compute, datasets: Datasets, sampling: Sampling, directions: Directions
) -> dict[str, Any]:
    """Fit on the training split of the AU set, nuisances on that of the attribute set.

    Validation faces set the length.
    """
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
        **directions.model_dump(exclude={"calibration"}),
    )
    rises, wanted = measure(fitted, pipeline, compute, datasets, sampling, directions)
    fitted = stretch(fitted, image_scales(rises, wanted))
    rises = rises.rename_axis("scale").reset_index()
    rises.to_parquet(out / "rises.parquet", index=False)
    fitted.save(out / "directions.parquet")
    own = fitted.table[fitted.table["kind"] == "au"]
    cosines = fitted.cosines().loc[list(fitted.aus), list(fitted.aus)].to_numpy()
    return {
        "pearson": float(own["pearson"].mean()),
        "length": float(own["length"].mean()),
        "image_scale": float(own["image_scale"].mean()),
        "kept_by_projection": float((own["norm_after"] / own["norm_before"]).mean()),
        "cosine": float(np.abs(cosines[~np.eye(len(cosines), dtype=bool)]).mean()),
    }


def measure(
    fitted: FittedDirections,
    pipeline: DiffAEPipeline,
    compute: Compute,
    datasets: Datasets,
    sampling: Sampling,
    directions: Directions,
) -> tuple[pd.DataFrame, np.ndarray]:
    """Rises of edited and of real validation faces, read by an estimator of training people."""
    columns = ["sample_id", "subject_id", "split", "image", *AUS]
    faces = read_faces(INGEST / datasets.aus, columns)
    train, val = (of_split(faces, split, INGEST / datasets.aus) for split in ("train", "val"))
    images, aus = decode_images(val), val[list(AUS)].to_numpy(np.float32)
    epochs = directions.calibration.epochs
    with progress("train the reader", epochs, "epochs") as advance:
        # The network of the oracle learns in a few epochs; this one sees training people only.
        reader, _ = train_oracle(
            decode_images(train),
            train[list(AUS)].to_numpy(np.float32),
            train["subject_id"].to_numpy(),
            images,
            aus,
            seed=directions.seed,
            epochs=epochs,
            device=compute.device,
            on_epoch=lambda _: advance(1),
        )
    wanted = real_rise(images, aus, val["subject_id"].to_numpy(), reader.aus)
    neutral = read_invertible(datasets.aus, "val")
    if neutral.empty:
        raise FacsimileError(
            "params.yaml: encode.neutral_per_subject.val is 0, but directions are calibrated on "
            "inverted faces of the validation split"
        )
    examples = spread(neutral, directions.calibration.faces)
    scales = directions.calibration.scales
    rises = edited_rise(fitted, pipeline, examples, reader.aus, scales, sampling.steps)
    return rises, wanted


if __name__ == "__main__":
    main("directions", run)
