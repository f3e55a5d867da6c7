"""Differences between training arms, with both people and training seeds resampled.

Faces of a person are not independent, and neither are detectors of one arm exact: an interval over
people alone is too narrow for arms with few seeds. Scores are computed from counts per person, so
that a resample is a weighted sum of counts instead of a pass over all faces.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike

from facsimile.errors import FacsimileError
from facsimile.faces.aus import AUS
from facsimile.measurement.metrics import same_shape


class Counts(Protocol):
    """A score that is a function of counts, which add up over people."""

    def per_person(self, truth: ArrayLike, detected: ArrayLike, subjects: ArrayLike) -> np.ndarray:
        """Counts (P, ...) of each of P people, in the order of their sorted ids.

        Args:
            truth: true presence (N, 12), NaN where not annotated.
            detected: detected presence (N, 12), NaN for AUs that the detector has not learnt.
            subjects: N subject ids.
        """
        ...

    def score(self, totals: np.ndarray) -> np.ndarray:
        """Scores of D resamples, (D,), from their counts (D, ...); NaN where undefined."""
        ...


@dataclass(frozen=True)
class F1Counts:
    """Mean F1 over AUs, as `f1_per_au` defines it.

    Attributes:
        without: AUs left out of the mean.
    """

    without: tuple[str, ...] = ()

    def per_person(self, truth: ArrayLike, detected: ArrayLike, subjects: ArrayLike) -> np.ndarray:
        """Hits, false positives and false negatives of each AU, (P, 3, K)."""
        truth, detected = _included(truth, detected, self.without)
        hits = (truth == 1) & (detected == 1)
        false_positives = (truth == 0) & (detected == 1)
        false_negatives = (truth == 1) & (detected == 0)
        return _sum(np.stack([hits, false_positives, false_negatives], axis=1), subjects)

    def score(self, totals: np.ndarray) -> np.ndarray:
        """Mean over AUs that are present on any face of the resample."""
        hits, false_positives, false_negatives = np.moveaxis(totals, -2, 0)
        f1 = 2 * hits / np.maximum(2 * hits + false_positives + false_negatives, 1)
        return _mean(f1, hits + false_negatives > 0)


@dataclass(frozen=True)
class PairFPRCounts:
    """Mean AU-pair false positive rate, as `au_pair_fpr` defines it.

    Attributes:
        without: AUs left out of the mean, with all of their pairs.
    """

    without: tuple[str, ...] = ()

    def per_person(self, truth: ArrayLike, detected: ArrayLike, subjects: ArrayLike) -> np.ndarray:
        """Faces with AU i absent and j present, and how often i is detected, (P, 2, K, K)."""
        truth, detected = _included(truth, detected, self.without)
        absent = (truth == 0) & ~np.isnan(detected)
        present = (truth == 1)[:, None, None, :]
        return _sum(np.stack([absent, absent & (detected == 1)], 1)[..., None] & present, subjects)

    def score(self, totals: np.ndarray) -> np.ndarray:
        """Mean over pairs that occur on any face of the resample."""
        faces, false_positives = np.moveaxis(totals, -3, 0)
        rates = false_positives / np.maximum(faces, 1)
        return _mean(rates.reshape(len(rates), -1), faces.reshape(len(faces), -1) > 0)


@dataclass(frozen=True)
class Difference:
    """Score of one arm minus that of another.

    Attributes:
        mean: difference of the means over seeds, on all people.
        low, high: 95 % percentile interval.
        p: two-sided p-value of no difference, in (0, 1]. All are NaN if undefined.
    """

    mean: float
    low: float
    high: float
    p: float


def compare_arms(
    truth: ArrayLike,
    subjects: ArrayLike,
    detections_a: Sequence[ArrayLike],
    detections_b: Sequence[ArrayLike],
    statistic: Counts,
    *,
    seed: int,
    draws: int = 500,
) -> Difference:
    """Compare two arms, b − a, on the same faces.

    Each resample draws people, the same for both arms, and the seeds of each arm, all with
    replacement. The p-value is twice the share of resamples on the rarer side of 0, where the
    observed data count as one more resample (Davison and Hinkley, "Bootstrap Methods and their
    Application", 1997), so that it is never 0.

    Args:
        truth: true presence (N, 12), NaN where not annotated, see `presence`.
        subjects: N subject ids.
        detections_a, detections_b: for each seed of the arm, detected presence (N, 12), NaN for AUs
            that the detector has not learnt.
        statistic: the score.
        seed: seed of the resampling.
        draws: number of resamples. Those without a score are ignored.

    Raises:
        FacsimileError: shapes differ, an arm has no detections, or an AU left out is unknown.
    """
    if not len(detections_a) or not len(detections_b):
        raise FacsimileError("resampling: an arm has no detections")
    people = len(np.unique(np.asarray(subjects)))
    rng = np.random.default_rng(seed)
    weights = rng.multinomial(people, np.full(people, 1 / people), size=draws)
    weights = np.concatenate([np.ones((1, people), weights.dtype), weights])
    means = []
    for detections in (detections_a, detections_b):
        counts = (statistic.per_person(truth, detected, subjects) for detected in detections)
        scores = np.stack(
            [statistic.score(np.tensordot(weights, each, axes=1)) for each in counts], axis=1
        )
        seeds = rng.integers(len(detections), size=(draws, len(detections)))
        seeds = np.concatenate([np.arange(len(detections))[None], seeds])
        means.append(np.take_along_axis(scores, seeds, axis=1).mean(axis=1))
    mean, *values = means[1] - means[0]
    values = np.array(values)[~np.isnan(values)]
    if not values.size:
        return Difference(float(mean), *[float("nan")] * 3)
    low, high = np.quantile(values, [0.025, 0.975])
    rarer = min((values <= 0).sum(), (values >= 0).sum())
    p = min(2 * (rarer + 1) / (len(values) + 1), 1)
    return Difference(float(mean), float(low), float(high), float(p))


def _included(
    truth: ArrayLike, detected: ArrayLike, without: Sequence[str]
) -> tuple[np.ndarray, np.ndarray]:
    """Columns (N, K) of the AUs that are not left out."""
    unknown = set(without) - set(AUS)
    if unknown:
        raise FacsimileError(f"resampling: {min(unknown)} is not one of {', '.join(AUS)}")
    truth, detected = same_shape(truth, detected)
    kept = [au not in without for au in AUS]
    return truth[:, kept], detected[:, kept]


def _sum(counted: np.ndarray, subjects: ArrayLike) -> np.ndarray:
    """How many rows of each person count, (P, ...) float64, of bools (N, ...)."""
    _, people = np.unique(np.asarray(subjects), return_inverse=True)
    if len(people) != len(counted):
        raise FacsimileError(f"resampling: {len(counted)} faces, {len(people)} subjects")
    order = np.argsort(people, kind="stable")
    starts = np.searchsorted(people[order], np.arange(people.max() + 1))
    return np.add.reduceat(counted[order], starts, axis=0, dtype=np.float64)


def _mean(values: np.ndarray, defined: np.ndarray) -> np.ndarray:
    """Mean over the defined entries of each row, (D,) from (D, M); NaN if there are none."""
    count = defined.sum(axis=1)
    sums = np.where(defined, values, 0).sum(axis=1)
    return np.where(count > 0, sums / np.maximum(count, 1), np.nan)
