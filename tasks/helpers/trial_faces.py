"""Faces that the arms of `facsimile.paper.TRIALS` are trained on."""

import numpy as np
import pandas as pd

from facsimile.faces.origins import SYNTHETIC
from facsimile.faces.tables import evenly_spaced, read_faces, read_located
from facsimile.paper import Added, Trial
from facsimile.seeding import sample_seed
from tasks.helpers.detectors import COLUMNS
from tasks.shared.artefacts import (
    BALANCED,
    FILTER,
    FURTHER,
    PLAIN,
    POPULATION,
    generated_tables,
    unannotated_ids,
)

_FURTHER = {"further": FURTHER, "balanced": BALANCED}


def lacks_faces(trial: Trial) -> bool:
    """Whether an arm needs further people, but there are none, as with datasets of real people."""
    further = trial.people > 1 or (trial.added is not None and trial.added.source in _FURTHER)
    return further and not (POPULATION / FURTHER).exists()


def training_rows(trial: Trial, real: pd.DataFrame, seed: int) -> pd.DataFrame:
    """The faces of one arm and seed, real ones first.

    Args:
        trial: the arm.
        real: all annotated training faces, with ``COLUMNS`` and ``table`` (see `read_located`).
        seed: draws the people and faces of smaller training sets.
    """
    parts = [_select(real, trial, seed)]
    if trial.people > 1:
        parts.append(_further_people(round((trial.people - 1) * real["subject_id"].nunique())))
    if trial.added:
        rows = _added_rows(trial.added)
        drawn = rows["sample_id"].map(lambda name: sample_seed(seed, name)).rank()
        parts.append(rows[drawn <= trial.added.share * len(rows)])
    return pd.concat(parts, ignore_index=True)


def _select(real: pd.DataFrame, trial: Trial, seed: int) -> pd.DataFrame:
    """A share of the people and of the frames of each; smaller shares are parts of larger ones."""
    if trial.people < 1:
        people = sorted(real["subject_id"].unique(), key=lambda name: sample_seed(seed, name))
        real = real[real["subject_id"].isin(people[: max(1, round(trial.people * len(people)))])]
    if trial.frames < 1:
        drawn = real["sample_id"].map(lambda name: sample_seed(seed, name))
        rank = drawn.groupby(real["subject_id"]).rank()
        frames = real.groupby("subject_id")["sample_id"].transform("size")
        real = real[rank <= np.maximum(1, trial.frames * frames)]
    return real


def _further_people(count: int) -> pd.DataFrame:
    faces = read_located(POPULATION / FURTHER, COLUMNS)
    return faces[faces["subject_id"].isin(sorted(faces["subject_id"].unique())[:count])]


def _added_rows(added: Added) -> pd.DataFrame:
    if name := _FURTHER.get(added.source):
        # As many as there are generated faces, and like them in half of each batch.
        count = len(read_faces(FILTER / "faces", ["sample_id"]))
        further = read_located(POPULATION / name, COLUMNS)
        return evenly_spaced(further, count).assign(origin=SYNTHETIC)
    columns = [*COLUMNS, "source_id", "edited_au"]
    if added.source == "plain":
        tables = [PLAIN / "faces"]
    elif added.accepted and added.corrected:
        tables = [FILTER / "faces"]
    else:
        tables = generated_tables()
    rows = pd.concat(read_located(table, columns) for table in tables)
    rows = rows[rows["origin"].isin(added.origins)]
    if not added.mixed:
        rows = rows[rows["edited_au"].notna()]
    if not added.unannotated:
        rows = rows[~rows["source_id"].isin(unannotated_ids())]
    if added.source == "pipeline" and added.accepted and not added.corrected:
        accepted = read_faces(FILTER / "faces", ["sample_id"])["sample_id"]
        rows = rows[rows["sample_id"].isin(accepted)]
    return rows[[*COLUMNS, "table"]]
