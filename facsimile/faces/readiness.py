"""Whether the labels of a dataset suffice for the pipeline; what is lacking, with the remedy."""

from collections.abc import Collection, Iterator

import pandas as pd

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

COLUMNS = ["sample_id", "subject_id", "split", *AUS, *NUISANCES]
"""Columns of a face table that decide."""


def au_shortages(name: str, faces: pd.DataFrame) -> Iterator[str]:
    """What a dataset lacks as datasets.aus, one line each with split and remedy.

    Args:
        name: of the dataset.
        faces: its ``COLUMNS``.
    """
    for split in SPLITS:
        if select_split(faces, split).empty:
            yield (
                f"{name}: split {split}: no faces; at least four people are needed, with at least "
                "one in val and one in test (column split)"
            )
            return
    train, val = select_split(faces, "train"), select_split(faces, "val")
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
        labels = select_split(faces, split)[list(needed)]
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
    if select_split(faces, "test")[list(aus)].isna().all(axis=None):
        yield f"{name}: split test: no face is annotated for any of {', '.join(aus)}; annotate some"


def attribute_shortages(name: str, faces: pd.DataFrame, project: Collection[str]) -> Iterator[str]:
    """What a dataset lacks as datasets.attributes, one line each with split and remedy.

    Args:
        name: of the dataset.
        faces: its ``COLUMNS``.
        project: attributes for which the editor needs labels.
    """
    train = select_split(faces, "train")
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


def holdout_shortages(name: str, faces: pd.DataFrame) -> Iterator[str]:
    """What a dataset lacks as one of datasets.tests.

    Args:
        name: of the dataset.
        faces: its ``COLUMNS``.
    """
    if select_split(faces, "test").empty:
        yield f"{name}: split test: no faces; add some, or remove it from datasets.tests"


def select_split(faces: pd.DataFrame, split: str) -> pd.DataFrame:
    """The faces of one split."""
    return faces[faces["split"] == split]
