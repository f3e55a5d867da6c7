"""Train the detectors of one arm of the paper's comparisons, and record what they predict.

    python -m tasks.trials ARM [--device cuda] [--workers N]

Reads   data/ingest, data/edit, data/synthesize, data/transfer, data/neutral, data/filter,
        data/plain, data/population, data/pretrain; params datasets, detector, trials.
Writes  data/trials/ARM/seed-<n>/ (model.safetensors, config.json, history.csv),
        predictions.parquet (validation and test people, other datasets, population), metrics.json.
"""

import sys
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from facsimile.detection import AUDetector
from facsimile.faces.annotation import keep_labels
from facsimile.paper import TRIALS
from tasks.helpers.detectors import COLUMNS, fit, fit_all, seed_folders, stored_faces
from tasks.helpers.measured_faces import predict
from tasks.helpers.trial_faces import lacks_faces, training_rows
from tasks.params import DatasetsParams, DetectorParams, TrialsParams
from tasks.shared.artefacts import PRETRAIN, learned_aus, read_splits
from tasks.shared.stage import Compute, main


def run(
    out: Path,
    compute: Compute,
    datasets: DatasetsParams,
    detector: DetectorParams,
    trials: TrialsParams,
    item: str,
) -> dict[str, Any]:
    """Train one detector per seed."""
    trial = TRIALS[item]
    if lacks_faces(trial):
        print(f"{item}: skipped, because there are no further people", file=sys.stderr)
        return {"detectors": 0}
    aus = learned_aus(datasets.aus)
    real, val = read_splits(datasets.aus, ("train", "val"), COLUMNS)
    options = detector.model_dump() | {"reweight": trial.reweighted}
    options["epoch_faces"] = round(trial.length * detector.epoch_faces)
    initial = AUDetector.load(PRETRAIN) if trial.pretrained else None
    tables = [keep_labels(training_rows(trial, real, seed), aus) for seed in trials.seeds]
    with stored_faces(out, [keep_labels(val, aus), *tables]) as (held_out, *faces):
        jobs = [
            partial(
                fit,
                out / f"seed-{seed}",
                labelled,
                held_out,
                options | {"seed": seed},
                initial=initial,
            )
            for seed, labelled in zip(trials.seeds, faces, strict=True)
        ]
        losses = [loss for _, loss in fit_all(jobs, compute, item)]
    predictions = predict({item: seed_folders(out)}, datasets, compute, out)[item]
    predictions.to_parquet(out / "predictions.parquet", index=False)
    return {"val_loss": float(np.mean(losses)), "detectors": len(jobs), "faces": len(tables[-1])}


if __name__ == "__main__":
    main("trials", run, items=TRIALS)
