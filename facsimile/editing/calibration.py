"""Calibration of directions on decoded images.

A direction is as long as the way real faces take along it, but an estimate w of the true axis at an
angle φ reaches only cos²φ of a level there, and a decoder answers small steps weakly. So a reader
of AUs, fitted on training people, looks at edited pictures of people it has not seen:

    stretch   w_k ← a_k w_k, so that its reading of AU k rises as much as when real faces of unseen
              people show the AU
    unmix     w_k ← w_k − Σ_j c_kj w_j, c_kj the share of AU j that its readings rise by beyond what
              they do when AU k alone rises in real faces
"""

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
import torch

from facsimile.editing.directions import Directions
from facsimile.editing.linear import effects
from facsimile.faces.aus import AUS
from facsimile.faces.tables import to_uint8
from facsimile.generator import Codes, Generator

Reader = Callable[[np.ndarray], np.ndarray]
"""AU readings (N, 12) of images uint8 (N, H, W, 3)."""

MIN_SCALE = 0.5
MIN_TRUST = 0.5
"""Correlation with labels of unseen people from which a reading is used for unmixing."""


def real_rise(
    images: np.ndarray, aus: np.ndarray, subjects: np.ndarray, read: Reader
) -> np.ndarray:
    """How much all readings rise when one AU rises by 1 in real faces, (12, 12).

    Args:
        images: uint8 (N, H, W, 3), of people the reader has not seen.
        aus: their AU intensities (N, 12), NaN where not annotated (see `linear.effects`).
        subjects: (N,) ids; differences within a person are judged.
        read: the reader.

    Returns:
        Row = AU that rises while the others stay, column = AU read. NaN for AUs that are not
        annotated or never active there.
    """
    known = ~np.isnan(aus).all(axis=0)
    slopes = np.full((len(AUS), len(AUS)), np.nan)
    readings = read(images)[:, known]
    slopes[np.ix_(known, known)] = effects(readings, aus[:, known], subjects)
    slopes[~(np.nansum(aus, axis=0) > 0)] = np.nan
    return slopes


def edited_rise(
    directions: Directions,
    generator: Generator,
    neutral: Codes,
    read: Reader,
    scales: Sequence[float],
) -> pd.DataFrame:
    """How much all readings rise when faces are edited by one AU.

    Args:
        directions: to be measured.
        generator: decodes the edits.
        neutral: codes of neutral faces of people the reader has not seen.
        read: the reader.
        scales: lengths of the steps, in units of the direction, ascending.

    Returns:
        One row a scale and edited AU, one column an AU read: the mean rise.
    """
    neutral = neutral.to(generator.device)

    def readings(z: torch.Tensor) -> np.ndarray:
        return read(to_uint8(generator.decode(neutral.replace_z(z))))

    before = readings(neutral.z)
    rows = pd.MultiIndex.from_product([list(scales), directions.aus], names=["scale", "edited_au"])
    rises = [
        (readings(directions.add_to(neutral.z, {au: scale})) - before).mean(axis=0)
        for scale, au in rows
    ]
    return pd.DataFrame(rises, index=rows, columns=list(AUS))


def own_rises(rises: pd.DataFrame) -> pd.DataFrame:
    """Of `edited_rise`, what each edit did to its own AU: one row a scale, one column an AU."""
    aus = rises.index.unique("edited_au")
    return pd.DataFrame({au: rises.xs(au, level="edited_au")[au] for au in aus})


def image_scales(rises: pd.DataFrame, wanted: np.ndarray) -> pd.Series:
    """Step at which the rise of each AU's reading reaches that of real faces.

    Args:
        rises: of `edited_rise`; between its scales, and from 0, the rise is taken to be linear.
        wanted: of `real_rise`, its diagonal (12,). Where it is unknown, or less than a quarter of
            the median, too little to aim at, the median scale of the other AUs is used.

    Returns:
        Scale per AU, between ``MIN_SCALE`` and the largest one measured, which also stands for
        rises that never suffice.
    """
    rises = own_rises(rises)
    goals = pd.Series(wanted, index=list(AUS))[list(rises.columns)]
    goals = goals.where(goals >= 0.25 * goals.median())
    scales = pd.Series(np.nan, index=rises.columns)
    steps = np.concatenate([[0.0], rises.index.to_numpy()])
    for au, goal in goals.dropna().items():
        reached = np.maximum.accumulate(np.concatenate([[0.0], rises[au]]))
        above = np.flatnonzero(reached >= goal)
        if len(above) == 0:
            scales[au] = steps[-1]
            continue
        i = above[0]
        share = (goal - reached[i - 1]) / (reached[i] - reached[i - 1])
        scales[au] = steps[i - 1] + share * (steps[i] - steps[i - 1])
    scales = scales.clip(MIN_SCALE, steps[-1])
    return scales.fillna(scales.median() if scales.notna().any() else 1.0)


def stretch(directions: Directions, scales: pd.Series) -> Directions:
    """Directions whose AU vectors are `scales` times as long.

    Args:
        directions: with AU directions for all of `scales`.
        scales: of `image_scales`; kept in the table.
    """
    table = directions.table.copy()
    factors = table["name"].map(scales).fillna(1.0)
    table["vector"] = [
        (w * np.float32(factor)) for w, factor in zip(table["vector"], factors, strict=True)
    ]
    table["length"] *= factors
    table["image_scale"] = factors
    return Directions(table)


def crosstalk(
    rises: pd.DataFrame,
    scales: pd.Series,
    wanted: np.ndarray,
    trust: np.ndarray,
    directions: Directions,
) -> pd.DataFrame:
    """What stretched edits do to readings of other AUs, beyond what real faces do.

    Args:
        rises: of `edited_rise`.
        scales: of `image_scales`.
        wanted: of `real_rise`, (12, 12).
        trust: correlation (12,) of the readings with the labels of unseen people. A reading counts
            by its square, the share of it that is no noise; below ``MIN_TRUST`` not at all.
        directions: tells which AUs an edit may move along.

    Returns:
        c_kj, row = edited AU k, column = AU j: the rise of reading j as a share of what an edit of
        AU j does to it. 0 on the diagonal and for AUs that k entails.
    """
    aus = list(scales.index)
    grid = np.concatenate([[0.0], rises.index.unique("scale").to_numpy()])
    at_scale = pd.DataFrame(0.0, index=aus, columns=aus)
    for au in aus:
        measured = rises.xs(au, level="edited_au")[aus].to_numpy()
        curve = np.vstack([np.zeros(len(aus)), measured])
        at_scale.loc[au] = [np.interp(scales[au], grid, column) for column in curve.T]
    own = pd.Series(np.diag(at_scale), index=aus)
    weight = pd.Series(trust, index=list(AUS))[aus]
    weight = (weight**2).where((weight >= MIN_TRUST) & (own > 0), 0.0)
    real = pd.DataFrame(wanted, index=list(AUS), columns=list(AUS)).loc[aus, aus]

    shares = pd.DataFrame(0.0, index=aus, columns=aus)
    for au in aus:
        if not weight[au] or not real.loc[au, au] > 0:
            continue
        beyond = at_scale.loc[au] - real.loc[au] * own[au] / real.loc[au, au]
        shares.loc[au] = (weight * beyond / own.where(weight > 0, 1.0)).fillna(0.0)
        shares.loc[au, [au, *directions.entailed(au)]] = 0.0
    return shares


def unmix(directions: Directions, shares: pd.DataFrame) -> Directions:
    """Directions less the `crosstalk` in them, to first order."""
    table = directions.table.copy()
    aus = list(shares.index)
    vectors = np.stack([directions.vector(au) for au in aus])
    pure = dict(zip(aus, vectors - shares.to_numpy(np.float32) @ vectors, strict=True))
    table["vector"] = [
        pure.get(name, w) for name, w in zip(table["name"], table["vector"], strict=True)
    ]
    table["length"] = [np.linalg.norm(w) for w in table["vector"]]
    return Directions(table)
