"""Calibration of directions on decoded images.

A direction is as long as the way real faces take along it, but an estimate w of the true axis at an
angle φ reaches only cos²φ of a level there, and a decoder answers small steps weakly. So a reader
of AUs, fitted on training people, looks at edited pictures of people it has not seen, and w is
stretched until its reading rises as much as it does when real faces of unseen people show the AU.
"""

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
import torch

from facsimile.aus import AUS
from facsimile.editing.directions import Directions
from facsimile.editing.edit import codes, edit
from facsimile.editing.linear import effects
from facsimile.generator.pipeline import DiffAEPipeline
from facsimile.tables import to_uint8

Reader = Callable[[np.ndarray], np.ndarray]
"""AU readings (N, 12) of images uint8 (N, H, W, 3)."""

MIN_SCALE = 0.5


def real_rise(
    images: np.ndarray, aus: np.ndarray, subjects: np.ndarray, read: Reader
) -> np.ndarray:
    """How much the reading of each AU rises when it rises by 1 in real faces, (12,).

    Args:
        images: uint8 (N, H, W, 3), of people the reader has not seen.
        aus: their AU intensities (N, 12), NaN where not annotated; only complete columns and
            rows where those are known count.
        subjects: (N,) ids; differences within a person are judged.
        read: the reader.

    Returns:
        Slopes, NaN for AUs that are not annotated or never active there.
    """
    known = ~np.isnan(aus).all(axis=0)
    rows = ~np.isnan(aus[:, known]).any(axis=1)
    slopes = np.full(len(AUS), np.nan)
    readings = read(images[rows])[:, known]
    slopes[known] = np.diag(effects(readings, aus[np.ix_(rows, known)], subjects[rows]))
    return np.where(np.nansum(aus, axis=0) > 0, slopes, np.nan)


def edited_rise(
    directions: Directions,
    pipeline: DiffAEPipeline,
    faces: pd.DataFrame,
    read: Reader,
    scales: Sequence[float],
    steps: int,
) -> pd.DataFrame:
    """How much the reading of each AU rises when faces are edited by it.

    Args:
        directions: to be measured.
        pipeline: generator.
        faces: neutral faces with raw ``z_sem`` and flattened ``x_t``, of people the reader has not
            seen.
        read: the reader.
        scales: lengths of the steps, in units of the direction, ascending.
        steps: DDIM steps.

    Returns:
        One row a scale, one column an AU: the mean rise.
    """
    size = pipeline.image_size
    z_sem = codes(faces["z_sem"]).to(pipeline.device)
    x_t = codes(faces["x_t"]).reshape(-1, 3, size, size).to(pipeline.device)
    z = pipeline.normalize(z_sem)

    def look(z_edited: torch.Tensor) -> np.ndarray:
        decoded = pipeline.decode(pipeline.denormalize(z_edited), x_t, steps)
        return read(to_uint8(decoded))

    before = look(z)
    rises = pd.DataFrame(index=list(scales), columns=list(directions.aus), dtype=float)
    for au in directions.aus:
        column = AUS.index(au)
        for scale in scales:
            after = look(edit(z, directions, {au: scale}))
            rises.loc[scale, au] = (after - before)[:, column].mean()
    return rises


def image_scales(rises: pd.DataFrame, wanted: np.ndarray) -> pd.Series:
    """Step at which the rise of each AU's reading reaches that of real faces.

    Args:
        rises: of `edited_rise`; between its scales, and from 0, the rise is taken to be linear.
        wanted: of `real_rise`, (12,). Where it is unknown, or less than a quarter of the median,
            too little to aim at, the median scale of the other AUs is used.

    Returns:
        Scale per AU, between ``MIN_SCALE`` and the largest one measured, which also stands for
        rises that never suffice.
    """
    goals = pd.Series(wanted, index=list(AUS))[list(rises.columns)]
    goals[goals < 0.25 * goals.median()] = np.nan
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
    """Directions whose AU vectors are `scales` times as long; the scale is kept in the table."""
    table = directions.table.copy()
    factors = table["name"].map(scales).fillna(1.0)
    table["vector"] = [
        (w * np.float32(factor)) for w, factor in zip(table["vector"], factors, strict=True)
    ]
    table["length"] *= factors
    table["image_scale"] = factors
    return Directions(table)
