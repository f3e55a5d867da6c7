"""Which neutral faces get which AUs, and how strongly.

Source: "Controlled Face Manipulation and Synthesis for Data Augmentation", IV-A: every neutral
face gives twelve variants with exactly one active AU. These alone teach a detector that AUs exclude
each other, so *mixed* variants join them, in which every AU is active or not independently of the
others: combinations that real faces seldom show, and neutral faces among them. Where new people
cost little, many of them with a few variants each teach more than few people with all.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from facsimile.errors import FacsimileError
from facsimile.faces.aus import ACTIVE_THRESHOLD, AUS
from facsimile.faces.origins import EDITED, SYNTHETIC
from facsimile.seeding import sample_rng

Intensity = float | tuple[float, float]

MIXED_RATE = 0.2
"""Probability of each AU in a mixed face: 2.4 of 12 on average, as many as an expression has."""


def neutral_faces(
    faces: pd.DataFrame, per_subject: int | None, aus: Sequence[str] = AUS
) -> pd.DataFrame:
    """Faces annotated for all of `aus` with none of them active.

    Args:
        faces: face rows.
        aus: AUs that the faces are to be without; others may be active or unknown.
        per_subject: at most so many of each subject, spaced evenly over its neutral faces in the
            order of their ids; None keeps all.

    Raises:
        FacsimileError: there is no neutral face.
    """
    neutral = faces[(faces[list(aus)] < ACTIVE_THRESHOLD).all(axis=1)]  # NaN compares false
    if neutral.empty:
        raise FacsimileError(
            f"none of {len(faces)} faces is annotated for all of {', '.join(aus)} with every one "
            f"below {ACTIVE_THRESHOLD}: there is nothing to edit"
        )
    if per_subject is None:
        return neutral
    kept = []
    for _, own in neutral.sort_values("sample_id").groupby("subject_id", sort=True):
        count = min(per_subject, len(own))
        # Midpoints of `count` equal stretches, so that first and last frames are not favoured.
        kept.append(own.iloc[((np.arange(count) + 0.5) * len(own) / count).astype(int)])
    return pd.concat(kept)


def least_active(faces: pd.DataFrame, count: int, per_subject: int) -> pd.DataFrame:
    """Faces that look most neutral to an estimator, where nobody annotated them.

    What an estimator makes of a person's neutral face differs from one person to the next. So the
    faces of each person are compared with one another first, then the people.

    Args:
        faces: sample_id, subject_id and ``activity``, how much the estimator sees of all AUs.
        count: at most so many faces.
        per_subject: at most so many of each subject.

    Returns:
        Rows of `faces`, in their order.
    """
    ranked = faces.sort_values(["activity", "sample_id"])
    kept = ranked.groupby("subject_id", sort=False).head(per_subject).head(count)
    return kept.sort_index()


def plan_edits(
    faces: pd.DataFrame,
    *,
    intensity: Intensity,
    seed: int,
    aus: tuple[str, ...] = AUS,
    single: int | None = None,
    mixed: int = 0,
) -> pd.DataFrame:
    """Repeat every neutral face with AUs that are active alone, and `mixed` times with several.

    Args:
        faces: neutral face rows, real or of new identities (column ``origin``; real without it).
            The image column may be left out.
        intensity: s of every edit, or its range (low, high), drawn by the id of the new face.
        seed: of the draws.
        aus: AUs to activate.
        single: how many of `aus`, at most, each face shows alone, drawn by its id; None for all.
        mixed: variants of each face in which every one of `aus` is active with probability
            ``MIXED_RATE``.

    Returns:
        Rows of `faces` with the sample_id of the new face, ``source_id``, the intended intensities
        as its AU columns, ``edited_au`` and ``intensity`` (null for mixed faces), ``seed`` and the
        ``origin`` of the new face.

    Raises:
        FacsimileError: not 0 < low ≤ high ≤ 1.
    """
    low, high = (intensity, intensity) if np.isscalar(intensity) else intensity
    if not 0 < low <= high <= 1:
        raise FacsimileError(f"edit intensity {intensity} is not within 0 < low ≤ high ≤ 1")
    singles = len(aus) if single is None else min(single, len(aus))
    edited, suffixes = [], []
    for name in faces["sample_id"]:
        drawn = sample_rng(seed, f"{name}/single").permutation(len(aus))[:singles]
        alone = [aus[k] for k in sorted(drawn)]
        edited += [*alone, *[None] * mixed]
        suffixes += [*(f"edit/{au}" for au in alone), *(f"mixed/{n}" for n in range(mixed))]
    plan = faces.loc[faces.index.repeat(singles + mixed)].reset_index(drop=True)
    plan["source_id"] = plan["sample_id"]
    plan["sample_id"] = [
        f"{name}/{suffix}" for name, suffix in zip(plan["source_id"], suffixes, strict=True)
    ]

    intended = np.zeros((len(plan), len(AUS)), np.float32)
    columns = [AUS.index(au) for au in aus]
    for row, (name, au) in enumerate(zip(plan["sample_id"], edited, strict=True)):
        rng = sample_rng(seed, name)
        if au is not None:
            intended[row, AUS.index(au)] = rng.uniform(low, high)
        else:
            active = rng.random(len(aus)) < MIXED_RATE
            intended[row, columns] = active * rng.uniform(low, high, len(aus))
    plan[list(AUS)] = intended
    plan["edited_au"] = edited
    plan["intensity"] = np.where(pd.isna(edited), np.nan, intended.max(axis=1))
    plan["seed"] = seed
    plan["origin"] = (
        np.where(plan["origin"] == SYNTHETIC, SYNTHETIC, EDITED) if "origin" in plan else EDITED
    )
    return plan
