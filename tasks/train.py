"""Train AU detectors for each training arm (real faces, with or without generated ones) and seed.

    python -m tasks.train [--device cuda] [--workers N]

Detectors of the arm `real` that tasks/baseline.py has already trained are copied.

Reads   data/ingest, data/filter, data/baseline; params datasets, detector, train.
Writes  data/train/<arm>/seed-<n>/ (model.safetensors, config.json, history.csv), metrics.json.
"""

import shutil
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from facsimile.faces.annotation import keep_labels
from facsimile.faces.arms import training_arms
from facsimile.faces.aus import AUS
from facsimile.faces.origins import REAL
from facsimile.faces.tables import read_located
from tasks.helpers.detectors import COLUMNS, fit, fit_all, stored_faces
from tasks.params import DatasetsParams, DetectorParams, TrainParams
from tasks.shared.artefacts import BASELINE, FILTER, learned_aus, read_splits
from tasks.shared.stage import Compute, main


def run(
    out: Path,
    compute: Compute,
    datasets: DatasetsParams,
    detector: DetectorParams,
    train: TrainParams,
) -> dict[str, Any]:
    """Train each arm on real training faces and the accepted generated faces of its origins."""
    aus = learned_aus(datasets.aus)
    real, val = read_splits(datasets.aus, ("train", "val"), COLUMNS)
    generated = read_located(FILTER / "faces", COLUMNS)
    seeds = {arm: list(train.seeds) for arm in train.arms}
    if REAL in seeds:
        trained = [seed for seed in train.seeds if (BASELINE / f"seed-{seed}").exists()]
        for seed in trained:
            shutil.copytree(BASELINE / f"seed-{seed}", out / REAL / f"seed-{seed}")
        seeds[REAL] = [seed for seed in train.seeds if seed not in trained]
    arms = [arm for arm in train.arms if seeds[arm]]

    metrics: dict[str, Any] = {"detectors": sum(map(len, seeds.values()))}
    if aus != AUS:
        metrics["aus"] = len(aus)
    tables = []
    for arm in arms:
        added = generated[generated["origin"].isin(training_arms()[arm].origins)]
        tables.append(keep_labels(pd.concat([real, added], ignore_index=True), aus))
        metrics[arm] = {"faces": len(tables[-1])}
    losses: dict[str, list[float]] = {arm: [] for arm in arms}
    with stored_faces(out, [keep_labels(val, aus), *tables]) as (held_out, *faces):
        jobs = [
            partial(
                fit,
                out / arm / f"seed-{seed}",
                labelled,
                held_out,
                detector.model_dump() | {"seed": seed},
            )
            for arm, labelled in zip(arms, faces, strict=True)
            for seed in seeds[arm]
        ]
        for folder, loss in fit_all(jobs, compute, "train"):
            losses[folder.parent.name].append(loss)
    for arm, values in losses.items():
        metrics[arm]["val_loss"] = float(np.mean(values))
    return metrics


if __name__ == "__main__":
    main("train", run)
