"""Calibration of directions on decoded images.

Directions are first scaled in latent space, to the length of the effect of an AU on real codes. In
images such edits come out too weak: an estimate w at an angle φ to the true axis reaches only cos²φ
of the intended level, and a decoder responds weakly to small steps. So an AU reader, fitted on
training people, measures edited images of validation people:

    stretch   w_k ← a_k w_k, so that the reading of AU k rises by as much as in real faces that
              show AU k
    unmix     w_k ← w_k − Σ_j c_kj w_j, with c_kj the rise of AU j in edits of AU k beyond its rise
              in real faces when AU k alone rises, as a share of what an edit of AU j achieves

`ImageCalibration` does so for any directions, once its reader is fitted.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, Self

import numpy as np
import pandas as pd
from torch import Tensor

from facsimile.detection import LabelledFaces, OracleTraining
from facsimile.editing.base import EditorData, Progress, no_progress
from facsimile.editing.directions import Directions
from facsimile.editing.regression import effects
from facsimile.editor_options import DualBranchOptions, LinearOptions
from facsimile.errors import FacsimileError
from facsimile.faces.aus import AUS
from facsimile.faces.tables import evenly_spaced, to_uint8
from facsimile.generator import Codes, Generator
from facsimile.measurement import pearson_per_au

Reader = Callable[[np.ndarray], np.ndarray]
"""AU readings (N, 12) of images uint8 (N, H, W, 3)."""


class Steps(Protocol):
    """Edits of codes that `ImageCalibration` measures. `Directions` are such edits.

    Attributes:
        aus: AUs that can be edited.
    """

    aus: tuple[str, ...]

    def add_to(self, z: Tensor, intensities: Mapping[str, float]) -> Tensor:
        """Codes (N, D) of neutral faces after edits of AUs, each times its intensity."""
        ...


MIN_SCALE = 0.5
MIN_RELIABILITY = 0.5
"""Readings of an AU are used for unmixing if they correlate this well with labels of new people."""


@dataclass(frozen=True)
class ImageCalibration:
    """Measures edits of neutral validation faces with an AU reader.

    Attributes:
        generator: decodes the edits.
        read: the reader, fitted on training faces.
        examples: codes of the neutral faces, with x_T.
        scales: step lengths to measure, as multiples of a direction, ascending.
        real: result of `real_rises` on all validation faces, (12, 12).
        reliability: correlation (12,) of readings and labels of all validation faces.
    """

    generator: Generator
    read: Reader
    examples: Codes
    scales: Sequence[float]
    real: np.ndarray
    reliability: np.ndarray

    @classmethod
    def fit(
        cls,
        data: EditorData,
        generator: Generator,
        options: LinearOptions | DualBranchOptions,
        progress: Progress = no_progress,
    ) -> Self:
        """Fit the reader.

        It has the oracle's architecture, because its readings keep rising beyond the intensities
        of real faces, unlike those of a detector.

        Args:
            data: faces to fit and to measure on.
            generator: generator of the codes.
            options: `calibration` and `seed` are used.
            progress: shows the epochs.

        Raises:
            FacsimileError: there are no neutral validation faces.
        """
        if not len(data.neutral):
            raise FacsimileError(
                "editor: there are no inverted neutral validation faces to calibrate edits "
                "on; set encode.neutral_per_subject.val above 0"
            )
        calibration = options.calibration
        images, aus = data.val.read_images(), data.val.aus.astype(np.float32)
        training = OracleTraining(options.seed, calibration.epochs, device=str(generator.device))
        train = LabelledFaces(
            data.train.read_images(), data.train.aus.astype(np.float32), data.train.subjects
        )
        with progress("train the reader", calibration.epochs, "epochs") as advance:
            reader = training.run(train, LabelledFaces(images, aus), on_epoch=lambda _: advance(1))
        rows = evenly_spaced(pd.DataFrame(index=range(len(data.neutral))), calibration.faces).index
        return cls(
            generator,
            reader.predict,
            data.neutral[rows.to_list()],
            calibration.scales,
            real_rises(images, aus, data.val.subjects, reader.predict),
            pearson_per_au(aus, reader.predict(images)),
        )

    def measure(self, edits: Steps) -> tuple[pd.DataFrame, pd.Series]:
        """`edited_rises` of edits, and the `image_scales` to stretch them by."""
        rises = edited_rises(edits, self.generator, self.examples, self.read, self.scales)
        return rises, image_scales(rises, np.diag(self.real))

    def crosstalk(
        self, directions: Directions, rises: pd.DataFrame, scales: pd.Series
    ) -> pd.DataFrame:
        """`crosstalk` of directions with these results of `measure`."""
        return crosstalk(rises, scales, self.real, self.reliability, directions)


def real_rises(
    images: np.ndarray, aus: np.ndarray, subjects: np.ndarray, read: Reader
) -> np.ndarray:
    """How much each reading rises when one AU rises by 1 in real faces, (12, 12).

    Args:
        images: uint8 (N, H, W, 3) of people that the reader was not fitted on.
        aus: their AU intensities (N, 12), NaN where not annotated.
        subjects: (N,) ids; only differences within a person count.
        read: the reader.

    Returns:
        Row = AU that rises while the others stay fixed, column = AU read. NaN for AUs that are not
        annotated or never active.
    """
    annotated = ~np.isnan(aus).all(axis=0)
    slopes = np.full((len(AUS), len(AUS)), np.nan)
    readings = read(images)[:, annotated]
    slopes[np.ix_(annotated, annotated)] = effects(readings, aus[:, annotated], subjects)
    slopes[~(np.nansum(aus, axis=0) > 0)] = np.nan
    return slopes


def edited_rises(
    edits: Steps,
    generator: Generator,
    neutral: Codes,
    read: Reader,
    scales: Sequence[float],
) -> pd.DataFrame:
    """How much each reading rises when one AU is edited.

    Args:
        edits: the edits to measure.
        generator: decodes the edits.
        neutral: codes of neutral faces of people that the reader was not fitted on.
        read: the reader.
        scales: step lengths as multiples of the edit, ascending.

    Returns:
        Mean rise over faces: one row per scale and edited AU, one column per AU read.
    """
    neutral = neutral.to(generator.device)

    def readings(z: Tensor) -> np.ndarray:
        return read(to_uint8(generator.decode(neutral.replace_z(z))))

    before = readings(neutral.z)
    rows = pd.MultiIndex.from_product([list(scales), edits.aus], names=["scale", "edited_au"])
    rises = [
        (readings(edits.add_to(neutral.z, {au: scale})) - before).mean(axis=0) for scale, au in rows
    ]
    return pd.DataFrame(rises, index=rows, columns=list(AUS))


def on_target_rises(rises: pd.DataFrame) -> pd.DataFrame:
    """Rise of the edited AU itself, from `edited_rises`: one row per scale, one column per AU."""
    aus = rises.index.unique("edited_au")
    return pd.DataFrame({au: rises.xs(au, level="edited_au")[au] for au in aus})


def image_scales(rises: pd.DataFrame, goals: np.ndarray) -> pd.Series:
    """Scale at which an edit raises the reading of its AU as much as a real rise by 1 does.

    Args:
        rises: result of `edited_rises`, interpolated linearly from 0 and between its scales.
        goals: diagonal (12,) of `real_rises`. AUs whose goal is NaN, or below a quarter of the
            median and so too small to aim at, get the median scale of the other AUs.

    Returns:
        Scale per AU, between ``MIN_SCALE`` and the largest measured scale, which is also used for
        AUs that never reach their goal.
    """
    rises = on_target_rises(rises)
    goals = pd.Series(goals, index=list(AUS))[list(rises.columns)]
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
    """Multiply AU directions by `scales`.

    Args:
        directions: must include all AUs of `scales`.
        scales: result of `image_scales`, recorded in the table.
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
    real: np.ndarray,
    reliability: np.ndarray,
    directions: Directions,
) -> pd.DataFrame:
    """How much stretched edits raise readings of other AUs beyond what occurs in real faces.

    Args:
        rises: result of `edited_rises`.
        scales: result of `image_scales`.
        real: result of `real_rises`, (12, 12).
        reliability: correlation (12,) of readings with labels of people that the reader was not
            fitted on. Readings are weighted by its square, the share of their variance that is
            signal, or by 0 below ``MIN_RELIABILITY``.
        directions: the edited directions; AUs that they entail are exempt.

    Returns:
        c_kj with row = edited AU k and column = AU j: excess rise of reading j as a share of its
        rise in edits of AU j. 0 on the diagonal and for AUs that k entails.
    """
    aus = list(scales.index)
    grid = np.concatenate([[0.0], rises.index.unique("scale").to_numpy()])
    at_scale = pd.DataFrame(0.0, index=aus, columns=aus)
    for au in aus:
        measured = rises.xs(au, level="edited_au")[aus].to_numpy()
        curve = np.vstack([np.zeros(len(aus)), measured])
        at_scale.loc[au] = [np.interp(scales[au], grid, column) for column in curve.T]
    on_target = pd.Series(np.diag(at_scale), index=aus)
    weight = pd.Series(reliability, index=list(AUS))[aus]
    weight = (weight**2).where((weight >= MIN_RELIABILITY) & (on_target > 0), 0.0)
    expected = pd.DataFrame(real, index=list(AUS), columns=list(AUS)).loc[aus, aus]

    shares = pd.DataFrame(0.0, index=aus, columns=aus)
    for au in aus:
        if not weight[au] or not expected.loc[au, au] > 0:
            continue
        excess = at_scale.loc[au] - expected.loc[au] * on_target[au] / expected.loc[au, au]
        shares.loc[au] = (weight * excess / on_target.where(weight > 0, 1.0)).fillna(0.0)
        shares.loc[au, [au, *directions.entailed(au)]] = 0.0
    return shares


def unmix(directions: Directions, shares: pd.DataFrame) -> Directions:
    """Subtract `crosstalk` from directions, to first order."""
    table = directions.table.copy()
    aus = list(shares.index)
    vectors = np.stack([directions.vector(au) for au in aus])
    pure = dict(zip(aus, vectors - shares.to_numpy(np.float32) @ vectors, strict=True))
    table["vector"] = [
        pure.get(name, w) for name, w in zip(table["name"], table["vector"], strict=True)
    ]
    table["length"] = [np.linalg.norm(w) for w in table["vector"]]
    return Directions(table)
