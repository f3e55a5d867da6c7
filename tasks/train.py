"""Train AU detectors: every arm (real faces, with and without generated ones) × every seed.

    python -m tasks.train [--device cuda] [--workers N]

Those of the arm `real` are trained before there are generated faces, by tasks/baseline.py.

Reads   data/ingest, data/filter, data/baseline; params datasets, train.
Writes  data/train/<arm>/seed-<n>/ (model.safetensors, config.json, history.parquet), metrics.json.
"""

import shutil
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from facsimile.faces.annotation import only
from facsimile.faces.arms import ARMS, REAL
from facsimile.faces.aus import AUS
from facsimile.faces.tables import read_faces
from tasks.shared.data import BASELINE, FILTER, read_splits, taught_aus
from tasks.shared.detectors import COLUMNS, Faces, fit, fit_all, fitting_options
from tasks.shared.params import Datasets, Train
from tasks.shared.stage import Compute, main


def run(out: Path, compute: Compute, datasets: Datasets, train: Train) -> dict[str, Any]:
    """Train on real training faces plus the accepted generated ones of the arm."""
    aus = taught_aus(datasets.aus)
    real, val = read_splits(datasets.aus, ("train", "val"), COLUMNS)
    val = Faces.of(only(val, aus))
    generated = read_faces(FILTER / "faces", COLUMNS)
    if REAL in train.arms:
        for seed in train.seeds:
            shutil.copytree(BASELINE / f"seed-{seed}", out / REAL / f"seed-{seed}")

    arms = [arm for arm in train.arms if arm != REAL]
    metrics: dict[str, Any] = {"detectors": len(arms) * len(train.seeds)}
    if aus != AUS:
        metrics["aus"] = len(aus)
    jobs = []
    for arm in arms:
        added = generated[generated["origin"].isin(ARMS[arm].origins)]
        rows = only(pd.concat([real, added], ignore_index=True), aus)
        metrics[arm] = {"faces": len(rows)}
        faces, options = Faces.of(rows), fitting_options(train)
        for seed in train.seeds:
            jobs.append(partial(fit, out / arm / f"seed-{seed}", faces, val, seed, options))
    losses: dict[str, list[float]] = {arm: [] for arm in arms}
    for folder, loss in fit_all(jobs, compute, "train"):
        losses[folder.parent.name].append(loss)
    for arm, values in losses.items():
        metrics[arm]["val_loss"] = float(np.mean(values))
    return metrics


if __name__ == "__main__":
    main("train", run)
