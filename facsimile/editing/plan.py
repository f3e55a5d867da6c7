"""Planning edits: which AUs each neutral face gets, and at which intensity.

Source: "Controlled Face Manipulation and Synthesis for Data Augmentation", IV-A: every neutral
face gives twelve variants with exactly one active AU. These alone would teach a detector that AUs
exclude each other. So *mixed* variants are added, in which each AU is active independently of the
others; they include neutral faces and combinations that are rare among real faces. If many people
are available, a few variants of each teach more than all variants of few people.
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
"""Probability of each AU in a mixed face: 2.4 of 12 on average, as in a typical expression."""


def neutral_faces(
    faces: pd.DataFrame, per_subject: int | None, aus: Sequence[str] = AUS
) -> pd.DataFrame:
    """Faces annotated for all of `aus` with none of them active.

    Args:
        faces: face rows.
        aus: AUs that must be inactive; others may be active or unknown.
        per_subject: maximum number per subject, spaced evenly over the subject's neutral faces in
            the order of their ids; None for no limit.

    Raises:
        FacsimileError: there is no neutral face.
    """
    neutral = faces[(faces[list(aus)] < ACTIVE_THRESHOLD).all(axis=1)]  # NaN compares false
    if neutral.empty:
        raise FacsimileError(
            f"none of {len(faces)} faces is annotated for all of {', '.join(aus)} with all of them "
            f"below {ACTIVE_THRESHOLD}: there is nothing to edit"
        )
    if per_subject is None:
        return neutral
    kept = []
    for _, group in neutral.sort_values("sample_id").groupby("subject_id", sort=True):
        count = min(per_subject, len(group))
        # Midpoints of `count` equal intervals, so that first and last frames are not favoured.
        kept.append(group.iloc[((np.arange(count) + 0.5) * len(group) / count).astype(int)])
    return pd.concat(kept)


def least_active(faces: pd.DataFrame, count: int, per_subject: int) -> pd.DataFrame:
    """Faces without annotation that are most neutral according to an AU estimator.

    Estimates on neutral faces differ between people. So each person's faces are ranked first, and
    the best of each person are then ranked together.

    Args:
        faces: sample_id, subject_id and ``activity``, the sum of estimated AU intensities.
        count: maximum number of faces.
        per_subject: maximum number per subject.

    Returns:
        Rows of `faces`, in their original order.
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
    """Plan single-AU and mixed variants of every neutral face.

    Draws are seeded by sample_id.

    Args:
        faces: neutral face rows, real or synthetic according to ``origin`` (real without it). The
            image column may be omitted.
        intensity: intensity of every edit, or the range (low, high) to draw it from.
        seed: seed of the draws.
        aus: AUs to activate.
        single: number of single-AU variants per face, with AUs drawn from `aus`; None for all.
        mixed: number of mixed variants per face, in which each of `aus` is active with probability
            ``MIXED_RATE``.

    Returns:
        Rows of `faces`, one per variant, with a new sample_id, ``source_id``, the intended
        intensities as AU columns, ``edited_au`` and ``intensity`` (null for mixed variants),
        ``seed`` and the new ``origin``.

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
        single_aus = [aus[k] for k in sorted(drawn)]
        edited += [*single_aus, *[None] * mixed]
        suffixes += [*(f"edit/{au}" for au in single_aus), *(f"mixed/{n}" for n in range(mixed))]
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
