"""Train detectors in parallel, for the baseline and for all training arms."""

import math
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from facsimile.detection import AUDetector, DetectorTraining, LabelledFaces
from facsimile.faces.aus import AUS
from facsimile.faces.picture_store import picture_store
from facsimile.measurement.metrics import mean_defined
from tasks.shared.stage import Compute, progress

COLUMNS = ["sample_id", "subject_id", "split", "origin", "au_presence_only", *AUS]
"""Columns of the faces that detectors are trained on, besides their images."""


@contextmanager
def stored_faces(out: Path, tables: Sequence[pd.DataFrame]) -> Iterator[list[LabelledFaces]]:
    """Labelled faces of each table, whose images are in one file that all processes read.

    Args:
        out: folder for the file, which is removed at the end.
        tables: rows with ``COLUMNS`` and ``table`` (see `read_located`); they may share faces.
    """
    with picture_store(out, progress) as store:
        store.decode(pd.concat(tables))
        yield [LabelledFaces.from_rows(rows, store.decode(rows)) for rows in tables]


def fit(
    folder: Path,
    faces: LabelledFaces,
    val: LabelledFaces,
    options: dict[str, Any],
    device: str,
    initial: AUDetector | None = None,
) -> tuple[Path, float]:
    """Train and save one detector. Returns its folder and mean squared validation error.

    Args:
        options: arguments of `DetectorTraining`, except the device.
        initial: see `DetectorTraining.run`.
    """
    detector = DetectorTraining(**options, device=device).run(faces, val, initial).to("cpu")
    detector.save(folder)
    detector.history_.to_csv(folder / "history.csv", index=False)
    return folder, mean_defined((detector.predict(val.images) - val.aus) ** 2)


def seed_folders(arm: Path) -> dict[int, Path]:
    """Seed → folder of the detectors ``seed-<n>`` of an arm, by seed."""
    folders = {int(path.name.removeprefix("seed-")): path for path in arm.glob("seed-*")}
    return dict(sorted(folders.items()))


def fit_all(jobs: list[partial], compute: Compute, name: str) -> Iterator[tuple[Path, float]]:
    """Results of all `fit` jobs, which run sequentially on a GPU and in parallel on a CPU."""
    with progress(name, len(jobs), "detectors") as advance:
        if compute.device != "cpu":
            for job in jobs:
                yield job(device=compute.device)
                advance(1)
            return
        # Only as many rounds as the workers can fill: three jobs on two cores run at once, instead
        # of leaving one core idle while the third job runs.
        rounds = max(1, len(jobs) // compute.workers)
        processes = max(1, math.ceil(len(jobs) / rounds))
        # One thread each: small networks gain little from more, and results depend on their number.
        with ProcessPoolExecutor(
            processes, get_context("spawn"), torch.set_num_threads, (1,)
        ) as pool:
            for done in as_completed([pool.submit(job, device="cpu") for job in jobs]):
                yield done.result()
                advance(1)
