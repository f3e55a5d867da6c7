"""Train AU detectors on real faces only, one per seed.

    python -m tasks.baseline [--device cuda] [--workers N]

They form the arm `real`, the baseline for detectors trained with generated faces. Their ensemble
also reads AUs for later stages: it selects neutral faces among unannotated ones and corrects the
labels of generated faces.

Reads   data/ingest; params datasets, detector, baseline.
Writes  data/baseline/seed-<n>/ (model.safetensors, config.json, history.csv), metrics.json.
"""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from facsimile.detection import AUEnsemble
from facsimile.faces.annotation import keep_labels
from facsimile.faces.aus import AUS
from facsimile.measurement.metrics import mean_defined, pearson_per_au
from tasks.helpers import readiness
from tasks.helpers.detectors import COLUMNS, fit, fit_all, stored_faces
from tasks.params import BaselineParams, DatasetsParams, DetectorParams
from tasks.shared.artefacts import learned_aus, read_splits
from tasks.shared.stage import Compute, main


def run(
    out: Path,
    compute: Compute,
    datasets: DatasetsParams,
    detector: DetectorParams,
    baseline: BaselineParams,
) -> dict[str, Any]:
    """Train on real training faces and measure the ensemble on validation faces."""
    aus = learned_aus(datasets.aus)
    splits = read_splits(datasets.aus, ("train", "val"), COLUMNS)
    options = detector.model_dump()
    with stored_faces(out, [keep_labels(rows, aus) for rows in splits]) as (faces, val):
        jobs = [
            partial(fit, out / f"seed-{seed}", faces, val, options | {"seed": seed})
            for seed in baseline.seeds
        ]
        losses = [loss for _, loss in fit_all(jobs, compute, "baseline")]
        readings = AUEnsemble.load(out, compute.device).predict(val.images)
    metrics = {
        "pearson": mean_defined(pearson_per_au(val.aus, readings)),
        "detectors": len(baseline.seeds),
        "faces": len(faces.images),
        "val_loss": float(np.mean(losses)),
    }
    return metrics if aus == AUS else metrics | {"aus": len(aus)}


if __name__ == "__main__":
    main("baseline", run, before=readiness.require)
