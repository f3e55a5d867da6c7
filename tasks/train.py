"""Train AU detectors: every arm (real faces, with and without generated ones) × every seed.

    python -m tasks.train [--device cuda] [--workers N]

Reads   data/ingest, data/filter; params datasets, train.
Writes  data/train/<arm>/seed-<n>/ (model.safetensors, config.json, history.parquet), metrics.json.
"""

from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from facsimile.aus import AUS
from facsimile.detection import train_detector
from facsimile.measurement import mean_defined
from facsimile.tables import decode_images, read_faces
from tasks.data import FILTER, INGEST, of_split
from tasks.params import Datasets, Train
from tasks.stage import Compute, main, progress

ORIGINS = {
    "real": (),
    "real+edited": ("edited",),
    "real+synthetic": ("synthetic",),
    "real+generated": ("edited", "synthetic"),
}
"""Arm → origins of the generated faces that join the real ones."""

Faces = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Images uint8 (N, H, W, 3), AU intensities (N, 12), and (N,) whether these are presence only."""


def run(out: Path, compute: Compute, datasets: Datasets, train: Train) -> dict[str, Any]:
    """Train on real training faces plus the accepted generated ones of the arm."""
    columns = ["sample_id", "subject_id", "split", "origin", "image", "au_presence_only", *AUS]
    real = read_faces(INGEST / datasets.aus, columns)
    generated = read_faces(FILTER / "faces", columns)
    val = faces_of(of_split(real, "val", INGEST / datasets.aus))
    real = of_split(real, "train", INGEST / datasets.aus)

    metrics: dict[str, Any] = {"detectors": len(train.arms) * len(train.seeds)}
    jobs = []
    for arm in train.arms:
        added = generated[generated["origin"].isin(ORIGINS[arm])]
        rows = pd.concat([real, added], ignore_index=True)
        metrics[arm] = {"faces": len(rows)}
        faces = faces_of(rows)
        options = train.model_dump(exclude={"arms", "seeds"})
        for seed in train.seeds:
            jobs.append(partial(fit, out / arm / f"seed-{seed}", faces, val, seed, options))
    losses: dict[str, list[float]] = {arm: [] for arm in train.arms}
    for folder, loss in run_all(jobs, compute):
        losses[folder.parent.name].append(loss)
    for arm, values in losses.items():
        metrics[arm]["val_loss"] = float(np.mean(values))
    return metrics


def faces_of(rows: pd.DataFrame) -> Faces:
    """Images and labels of face rows."""
    labels = rows[list(AUS)].to_numpy(np.float32)
    return decode_images(rows), labels, rows["au_presence_only"].to_numpy(bool)


def run_all(jobs: list[partial], compute: Compute) -> Iterator[tuple[Path, float]]:
    """Results of all jobs: one by one on a device, side by side on a CPU."""
    with progress("train", len(jobs), "detectors") as advance:
        if compute.device != "cpu":
            for job in jobs:
                yield job(device=compute.device)
                advance(1)
            return
        # A thread each: small networks gain little from more, and results depend on the number.
        with ProcessPoolExecutor(
            compute.workers, get_context("spawn"), torch.set_num_threads, (1,)
        ) as pool:
            for done in as_completed([pool.submit(job, device="cpu") for job in jobs]):
                yield done.result()
                advance(1)


def fit(
    folder: Path, faces: Faces, val: Faces, seed: int, options: dict[str, Any], device: str
) -> tuple[Path, float]:
    """Train and save one detector. Returns its folder and mean squared validation error."""
    images, aus, presence_only = faces
    detector, history = train_detector(
        images,
        aus,
        *val[:2],
        seed=seed,
        presence_only_train=presence_only,
        device=device,
        **options,
    )
    detector.to("cpu").save(folder)
    history.to_parquet(folder / "history.parquet", index=False)
    return folder, mean_defined((detector.predict(val[0]) - val[1]) ** 2)


if __name__ == "__main__":
    main("train", run)
