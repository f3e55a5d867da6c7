"""Training detectors side by side: those of real faces alone, and those of the other arms."""

import math
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from facsimile.detection import train_detector
from facsimile.faces.aus import AUS
from facsimile.faces.origins import REAL
from facsimile.faces.tables import decode_images
from facsimile.measurement.metrics import mean_defined
from tasks.shared.stage import Compute, progress

COLUMNS = ["sample_id", "subject_id", "split", "origin", "image", "au_presence_only", *AUS]
"""Of face rows that detectors are trained on."""


@dataclass(frozen=True)
class Faces:
    """What detectors learn from.

    Attributes:
        images: uint8 (N, H, W, 3).
        aus: intensities (N, 12), NaN where not annotated.
        presence_only: (N,) whether these are presence only.
        generated: (N,) whether the face is not real.
    """

    images: np.ndarray
    aus: np.ndarray
    presence_only: np.ndarray
    generated: np.ndarray

    @classmethod
    def of(cls, rows: pd.DataFrame) -> "Faces":
        """Images and labels of face rows."""
        return cls(
            decode_images(rows),
            rows[list(AUS)].to_numpy(np.float32),
            rows["au_presence_only"].to_numpy(bool),
            (rows["origin"] != REAL).to_numpy(),
        )


def fit(
    folder: Path, faces: Faces, val: Faces, seed: int, options: dict[str, Any], device: str
) -> tuple[Path, float]:
    """Train and save one detector. Returns its folder and mean squared validation error."""
    detector, history = train_detector(
        faces.images,
        faces.aus,
        val.images,
        val.aus,
        seed=seed,
        presence_only_train=faces.presence_only,
        generated_train=faces.generated,
        device=device,
        **options,
    )
    detector.to("cpu").save(folder)
    history.to_csv(folder / "history.csv", index=False)
    return folder, mean_defined((detector.predict(val.images) - val.aus) ** 2)


def fit_all(jobs: list[partial], compute: Compute, name: str) -> Iterator[tuple[Path, float]]:
    """Results of all `fit` jobs: one by one on a device, side by side on a CPU."""
    with progress(name, len(jobs), "detectors") as advance:
        if compute.device != "cpu":
            for job in jobs:
                yield job(device=compute.device)
                advance(1)
            return
        # As many rounds as workers can fill: three jobs on two cores share them, instead of leaving
        # one core idle while the third job runs.
        rounds = max(1, len(jobs) // compute.workers)
        processes = max(1, math.ceil(len(jobs) / rounds))
        # A thread each: small networks gain little from more, and results depend on the number.
        with ProcessPoolExecutor(
            processes, get_context("spawn"), torch.set_num_threads, (1,)
        ) as pool:
            for done in as_completed([pool.submit(job, device="cpu") for job in jobs]):
                yield done.result()
                advance(1)
