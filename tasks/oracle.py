"""Train the oracle, the AU and identity estimator used for evaluation, and write its checkpoint.

    python -m tasks.oracle [--params params.yaml] [--faces FACES] [--work WORK] [--out OUT]
                           [--device DEVICE]

Reads   params.yaml, section `oracle`; FACES, a face table (rendered from world-oracle if absent).
Writes  OUT/config.json, model.safetensors, metrics.json, README.md.

Frozen in the pipeline, because the checkpoint is shipped. No other stage trains
on it or on its faces.
"""

import argparse
import json
import sys

import numpy as np
from pydantic import Field, PositiveFloat, PositiveInt

from facsimile.detection import AUOracle, LabelledFaces, OracleTraining
from facsimile.faces.aus import AUS
from facsimile.faces.tables import decode_images
from facsimile.files import to_json
from facsimile.measurement import (
    equal_error_rate,
    inter_au_correlation,
    mean_abs_correlation,
    oracle_metrics,
    verification_auc,
)
from tasks.helpers.frozen import face_table, main
from tasks.params import Section, read_section


class OracleParams(Section):
    """Section `oracle` of params.yaml."""

    dataset: str = "world-oracle"
    faces: PositiveInt = 10_000
    image_size: PositiveInt = 64
    seed: int = 0
    workers: PositiveInt = 2
    epochs: PositiveInt = 10
    batch_size: PositiveInt = 32
    lr: PositiveFloat = 2e-3
    identity_weight: float = Field(0.001, ge=0)
    autocast: bool = True


def measure(oracle: AUOracle, faces: LabelledFaces) -> dict[str, object]:
    """Metrics on held-out people.

    `entanglement` compares mean |inter-AU correlation| of labels and readings: the difference is
    due to the estimator. `identity` is verification over all pairs of faces; its threshold is the
    cosine distance at the equal error rate.
    """
    readings, embeddings = oracle.predict_with_embeddings(faces.images)
    first, second = np.triu_indices(len(readings), 1)
    same = faces.subjects[first] == faces.subjects[second]
    distances = 1 - (embeddings @ embeddings.T)[first, second]
    error_rate, threshold = equal_error_rate(distances, same)
    return {
        **oracle_metrics(faces.aus, readings),
        "entanglement": {
            name: mean_abs_correlation(inter_au_correlation(values))
            for name, values in (("labels", faces.aus), ("readings", readings))
        },
        "identity": {
            "auc": verification_auc(distances, same),
            "equal_error_rate": error_rate,
            "threshold": threshold,
        },
    }


def model_card(params: OracleParams, metrics: dict) -> str:
    """The README.md of the trained estimator."""
    identity, entanglement = metrics["identity"], metrics["entanglement"]
    rows = "\n".join(
        f"| {au} | {metrics['pearson_per_au'][au]:.3f} | {metrics['icc_per_au'][au]:.3f} |"
        for au in AUS
    )
    return f"""# AU and identity estimator of the embedded world

Reads twelve AU intensities and an identity embedding from a {params.image_size} px face, to measure
edits, synthesis and entanglement. It is independent of what it measures: no stage of the pipeline
trains on it, and it was trained on separate people and images, whose AUs are uncorrelated.

Data: {params.faces} rendered faces of `{params.dataset}` (seed {params.seed}; no photograph of a
person), split by subject into training, validation and test.
Training: {metrics["steps"]} steps of {params.batch_size} faces ({params.epochs} epochs), AdamW with
a peak rate of {params.lr:g}, mean squared error of the AUs plus {params.identity_weight:g} ×
CosFace loss over the training people.
Command: `python -m tasks.oracle`. Weights are stored in half precision
({metrics["parameters"]:,} parameters); the figures below were measured after storing.

Agreement with the labels of {metrics["test_faces"]} faces of people not in the training set:

| AU | Pearson r | ICC(3,1) |
| --- | --- | --- |
{rows}
| mean | {metrics["pearson"]:.3f} | |

Mean |inter-AU correlation| of those faces: labels {entanglement["labels"]:.3f}, readings
{entanglement["readings"]:.3f}.
Identity verification over all pairs of them: AUC {identity["auc"]:.3f}, equal error rate
{identity["equal_error_rate"]:.3f} at cosine distance {identity["threshold"]:.3f}.
"""


def run(arguments: argparse.Namespace) -> None:
    """Train and evaluate the oracle and write its checkpoint."""
    params = read_section(arguments.params, "oracle", OracleParams)
    faces = face_table(
        arguments.faces,
        params.dataset,
        params.faces,
        params.image_size,
        params.seed,
        params.workers,
    )
    splits = {
        split: LabelledFaces.from_rows(rows, decode_images(rows, str(arguments.faces)))
        for split, rows in faces.groupby("split")
    }
    options = params.model_dump(
        include={"seed", "epochs", "batch_size", "lr", "identity_weight", "autocast"}
    )
    oracle = OracleTraining(**options, device=arguments.device).run(
        splits["train"],
        splits["val"],
        on_epoch=lambda row: print(
            ", ".join(f"{name} {value:.4g}" for name, value in row.items()), file=sys.stderr
        ),
    )
    out = arguments.out
    oracle.to("cpu").save(out)
    # Evaluate the weights as shipped: in half precision, loaded from disk.
    metrics = measure(AUOracle.load(out), splits["test"]) | {
        "test_faces": len(splits["test"].images),
        "steps": params.epochs * (len(splits["train"].images) // params.batch_size),
        "parameters": sum(p.numel() for p in oracle.parameters()),
        "val_pearson_by_epoch": oracle.history_["val_pearson"].tolist(),
    }
    (out / "metrics.json").write_text(json.dumps(to_json(metrics), indent=2) + "\n")
    (out / "README.md").write_text(model_card(params, metrics))


if __name__ == "__main__":
    main("oracle", __doc__, run)
