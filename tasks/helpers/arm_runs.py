"""Read the faces and detectors that are compared."""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from facsimile.detection import AUDetector
from facsimile.faces.aus import AUS
from facsimile.faces.demographics import NOT_ANNOTATED, cell_names
from facsimile.paper.comparisons import People, Run


def describe(faces: pd.DataFrame) -> People:
    """Labels, people and groups of a set."""
    cells = cell_names(faces["male"], faces["age"])
    known = cells != NOT_ANNOTATED
    return People(
        faces[list(AUS)].to_numpy(float),
        faces["subject_id"].to_numpy(),
        cells if known.all() else None,
    )


def read_runs(
    folder: Path, predictions: pd.DataFrame, faces: Mapping[str, pd.DataFrame]
) -> list[Run]:
    """The detectors of an arm: their predictions, in the order of the faces, and thresholds.

    Args:
        folder: has ``seed-<n>``.
        predictions: see `tasks.helpers.measured_faces.predict`.
        faces: name → faces of each set.
    """
    runs = []
    for seed, rows in predictions.groupby("seed"):
        by_set = {
            name: rows[rows["set"] == name].set_index("sample_id")[list(AUS)] for name in faces
        }
        ordered = {
            name: by_set[name].loc[faces[name]["sample_id"]].to_numpy(float) for name in faces
        }
        model = AUDetector.load(folder / f"seed-{seed}")
        runs.append(Run(ordered, model.thresholds.numpy()))
    return runs
