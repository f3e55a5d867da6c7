"""Check that the ingested datasets suffice for the later stages, before any of them runs."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from facsimile.errors import FacsimileError
from facsimile.faces.annotation import (
    MIN_PEOPLE,
    explain_unused_aus,
    learnable_aus,
    mostly_annotated_aus,
)
from facsimile.faces.aus import ACTIVE_THRESHOLD, AUS, NUISANCES
from facsimile.faces.demographics import (
    AGE_CUTS,
    AGE_GROUPS,
    GENDER_CUTS,
    GENDERS,
    group_indices,
)
from facsimile.faces.schema import SPLITS
from facsimile.faces.tables import read_faces
from tasks.params import PARAMS, DatasetsParams, EditorParams, read_section
from tasks.shared.artefacts import INGEST

COLUMNS = ["sample_id", "subject_id", "split", *AUS, *NUISANCES]


def report(ingested: Path) -> None:
    """Print one line per shortage, and per AU or test set that cannot be used.

    The ingested data is kept: it can still be inspected or used to train a generator.

    Args:
        ingested: folder of the ingested datasets.
    """
    datasets, project = _relevant_params()
    labels = _select_split(read_faces(ingested / datasets.aus, COLUMNS), "train")[list(AUS)]
    aus = learnable_aus(labels)
    if aus and aus != AUS:
        unused = explain_unused_aus(labels, aus)
        print(f"{datasets.aus}: uses {', '.join(aus)}; skipped: {unused}", file=sys.stderr)
    for name in datasets.tests if aus else ():
        faces = read_faces(ingested / name, COLUMNS)
        if not faces[list(aus)].notna().any(axis=None):
            print(
                f"{name}: not annotated for any of {', '.join(aus)}, so it is not scored",
                file=sys.stderr,
            )
    for shortage in shortages(ingested, datasets, project):
        print(f"not enough data for the next stages: {shortage}", file=sys.stderr)


def require() -> None:
    """Raise FacsimileError for the first shortage of the ingested data."""
    for shortage in shortages(INGEST, *_relevant_params()):
        raise FacsimileError(shortage)


def _relevant_params() -> tuple[DatasetsParams, tuple[str, ...]]:
    """Roles of the datasets, and attributes that the editor needs."""
    datasets = read_section(PARAMS, "datasets", DatasetsParams)
    return datasets, read_section(PARAMS, "editor", EditorParams).options.attributes


def shortages(ingested: Path, datasets: DatasetsParams, project: tuple[str, ...]) -> Iterator[str]:
    """Shortages of the ingested data, one line each with dataset, split and remedy.

    Args:
        ingested: folder of the ingested datasets.
        datasets: role of each dataset.
        project: attributes for which the editor needs labels.
    """
    yield from _au_shortages(datasets.aus, read_faces(ingested / datasets.aus, COLUMNS))
    attributes = read_faces(ingested / datasets.attributes, COLUMNS)
    yield from _attribute_shortages(datasets.attributes, attributes, project)
    for name in datasets.tests:
        if _select_split(read_faces(ingested / name, COLUMNS), "test").empty:
            yield f"{name}: split test: no faces; add some, or remove it from datasets.tests"


def _au_shortages(name: str, faces: pd.DataFrame) -> Iterator[str]:
    for split in SPLITS:
        if _select_split(faces, split).empty:
            yield (
                f"{name}: split {split}: no faces; at least four people are needed, with at least "
                "one in val and one in test (column split)"
            )
            return
    train, val = _select_split(faces, "train"), _select_split(faces, "val")
    aus = learnable_aus(train[list(AUS)])
    if not aus:
        yield (
            f"{name}: split train: {explain_unused_aus(train[list(AUS)], ())}; annotate an AU as "
            "absent on one face and present on another"
        )
        return
    if train["subject_id"].nunique() < 2:
        yield f"{name}: split train: only one person; add faces of others"
    needed = mostly_annotated_aus(train[list(AUS)])
    for split, minimum in (("train", 2), ("val", 1)):
        labels = _select_split(faces, split)[list(needed)]
        neutral = int((labels < ACTIVE_THRESHOLD).all(axis=1).sum())
        if neutral < minimum:
            yield (
                f"{name}: split {split}: too few neutral faces ({neutral}, at least {minimum} "
                f"needed), which are annotated for all of {', '.join(needed)} and below "
                f"{ACTIVE_THRESHOLD} on each; add such faces, or remove columns of AUs that are "
                "rarely annotated or active on most faces"
            )
    if not (val[list(aus)] >= ACTIVE_THRESHOLD).any(axis=None):
        yield f"{name}: split val: no face shows any of {', '.join(aus)}; add faces that do"
    if _select_split(faces, "test")[list(aus)].isna().all(axis=None):
        yield f"{name}: split test: no face is annotated for any of {', '.join(aus)}; annotate some"


def _attribute_shortages(name: str, faces: pd.DataFrame, project: tuple[str, ...]) -> Iterator[str]:
    train = _select_split(faces, "train")
    where, another = f"{name}: split train:", "or name another dataset under datasets.attributes"
    if train.empty:
        yield f"{where} no faces; add some, {another}"
        return
    genders = set(group_indices(train["male"], GENDER_CUTS))
    ages = set(group_indices(train["age"], AGE_CUTS))
    lacking = [gender for index, gender in enumerate(GENDERS) if index not in genders]
    # The middle group can be derived from the others; see `DemographicPredictors.fit`.
    lacking += [AGE_GROUPS[index] for index in (0, len(AGE_GROUPS) - 1) if index not in ages]
    if lacking:
        yield f"{where} no face is labelled {', '.join(lacking)}; fill columns male, age, {another}"
    unlabelled = [
        attribute
        for attribute in project
        if attribute not in ("male", "age") and train[attribute].nunique() < 2
    ]
    if unlabelled:
        yield (
            f"{where} {', '.join(unlabelled)} not annotated, or the same on all faces; annotate "
            f"it, remove it from the options of the editor, {another}"
        )
    several = int((train["subject_id"].value_counts() > 1).sum())
    if several < MIN_PEOPLE:
        yield (
            f"{where} {several} people have several faces, but measuring identity needs "
            f"{MIN_PEOPLE}; add faces, {another}"
        )


def _select_split(faces: pd.DataFrame, split: str) -> pd.DataFrame:
    return faces[faces["split"] == split]
