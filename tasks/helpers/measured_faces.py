"""Faces that detectors are measured on, and their predictions."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pandas as pd

from facsimile.detection import AUDetector
from facsimile.faces.annotation import keep_labels
from facsimile.faces.aus import AUS, NUISANCES
from facsimile.faces.picture_store import picture_store
from facsimile.faces.tables import read_located
from tasks.params import DatasetsParams
from tasks.shared.artefacts import MEASURED, POPULATION, learned_aus, read_splits
from tasks.shared.stage import Compute, progress

VALIDATION = "validation"
"""Name of the set on which lengths are chosen; all others are only measured on."""

_COLUMNS = ("sample_id", "subject_id", "split", *AUS, *NUISANCES)


def measured_faces(
    datasets: DatasetsParams, columns: Sequence[str] = _COLUMNS
) -> Iterator[tuple[str, pd.DataFrame]]:
    """Name and faces of each set: validation people, test people, other datasets, population.

    Labels of AUs that are not learnt are null. See `read_located` for the column ``table``.
    """
    aus = learned_aus(datasets.aus)
    val, test = read_splits(datasets.aus, ("val", "test"), columns)
    yield VALIDATION, keep_labels(val, aus)
    yield datasets.aus, keep_labels(test, aus)
    for name in datasets.tests:
        yield name, keep_labels(read_splits(name, ("test",), columns)[0], aus)
    if (POPULATION / MEASURED).exists():
        yield MEASURED, keep_labels(read_located(POPULATION / MEASURED, columns), aus)


def predict(
    folders: Mapping[str, Mapping[int, Path]],
    datasets: DatasetsParams,
    compute: Compute,
    out: Path,
) -> dict[str, pd.DataFrame]:
    """Predictions of trained detectors on all sets, each of which is decoded once.

    Args:
        folders: arm → seed → folder of a detector.
        out: folder for decoded images, which are removed at the end.

    Returns:
        Arm → one row per seed and face: seed, set, sample_id and the 12 AUs.
    """
    tables: dict[str, list[pd.DataFrame]] = {arm: [] for arm in folders}
    for name, faces in measured_faces(datasets, ["sample_id", "split"]):
        with picture_store(out, progress) as store:
            images = store.decode(faces)
            for arm, seeds in folders.items():
                for seed, folder in seeds.items():
                    detector = AUDetector.load(folder).to(compute.device)
                    predicted = pd.DataFrame(detector.predict(images), columns=list(AUS))
                    ids = faces["sample_id"].to_numpy()
                    tables[arm].append(predicted.assign(seed=seed, set=name, sample_id=ids))
    order = ["seed", "set", "sample_id", *AUS]
    return {arm: pd.concat(parts, ignore_index=True)[order] for arm, parts in tables.items()}
