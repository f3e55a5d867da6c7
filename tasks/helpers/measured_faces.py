"""Faces that detectors are measured on, and their predictions."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import pandas as pd

from facsimile.detection import AUDetector
from facsimile.faces.annotation import keep_labels
from facsimile.faces.aus import AUS, NUISANCES
from facsimile.faces.tables import decode_images, read_faces
from tasks.params import DatasetsParams
from tasks.shared.artefacts import MEASURED, POPULATION, learned_aus, read_splits
from tasks.shared.stage import Compute

VALIDATION = "validation"
"""Name of the set on which lengths are chosen; all others are only measured on."""

_COLUMNS = ["sample_id", "subject_id", "split", "image", *AUS, *NUISANCES]


def measured_faces(datasets: DatasetsParams) -> Iterator[tuple[str, pd.DataFrame]]:
    """Name and faces of each set: validation people, test people, other datasets, population."""
    aus = learned_aus(datasets.aus)
    val, test = read_splits(datasets.aus, ("val", "test"), _COLUMNS)
    yield VALIDATION, keep_labels(val, aus)
    yield datasets.aus, keep_labels(test, aus)
    for name in datasets.tests:
        yield name, keep_labels(read_splits(name, ("test",), _COLUMNS)[0], aus)
    if (POPULATION / MEASURED).exists():
        yield MEASURED, keep_labels(read_faces(POPULATION / MEASURED, _COLUMNS), aus)


def predict(
    folders: Mapping[int, Path], datasets: DatasetsParams, compute: Compute
) -> pd.DataFrame:
    """Predictions of trained detectors on all sets.

    Args:
        folders: seed → folder of a detector.

    Returns:
        One row per seed and face: seed, set, sample_id and the 12 AUs.
    """
    detectors = {
        seed: AUDetector.load(folder).to(compute.device) for seed, folder in folders.items()
    }
    tables = []
    for name, faces in measured_faces(datasets):
        images = decode_images(faces, name)
        for seed, detector in detectors.items():
            predicted = pd.DataFrame(detector.predict(images), columns=list(AUS))
            ids = faces["sample_id"].to_numpy()
            tables.append(predicted.assign(seed=seed, set=name, sample_id=ids))
    return pd.concat(tables, ignore_index=True)[["seed", "set", "sample_id", *AUS]]
