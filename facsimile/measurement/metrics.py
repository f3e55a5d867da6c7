"""Metrics of AU detection and of edited faces that also fit models and filter faces.

Source: "Controlled Face Manipulation and Synthesis for Data Augmentation", section IV. Labels are
(N, 12) intensities in the order of ``AUS``, NaN where an AU is not annotated; such entries are left
out of every figure. An AU is present where its intensity is at least ``ACTIVE_THRESHOLD``. A figure
that is undefined (no positive, a constant column, an empty condition) is NaN, never 0.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats
from sklearn.metrics import roc_curve

from facsimile.errors import FacsimileError
from facsimile.faces.annotation import presence
from facsimile.faces.aus import ACTIVE_THRESHOLD


def f1_per_au(labels: ArrayLike, detected: ArrayLike) -> np.ndarray:
    """F1 of each AU, (K,); NaN where no annotated face shows the AU.

    Args:
        labels: true presence (N, K) of `presence`.
        detected: detected presence (N, K), NaN where a detector cannot tell.
    """
    # Counted here rather than by sklearn.metrics.f1_score: the same figure, but without its checks
    # of every column, which would dominate the bootstrap, and with NaN left out.
    labels, detected = same_shape(labels, detected)
    labels = np.where(np.isnan(detected), np.nan, labels)
    hits = ((labels == 1) & (detected == 1)).sum(0)
    errors = ((labels == 0) & (detected == 1)).sum(0) + ((labels == 1) & (detected == 0)).sum(0)
    return np.where((labels == 1).any(0), 2 * hits / np.maximum(2 * hits + errors, 1), np.nan)


def mean_defined(values: ArrayLike) -> float:
    """Mean over the entries that are defined; NaN if none is."""
    values = np.asarray(values, np.float64)
    defined = values[~np.isnan(values)]
    return float(defined.mean()) if defined.size else float("nan")


def pearson_per_au(labels: ArrayLike, predictions: ArrayLike) -> np.ndarray:
    """Pearson correlation of each AU's label and estimate, (K,), over faces that have both."""
    labels, predictions = same_shape(labels, predictions)
    return np.array(
        [_pearson(label, guess) for label, guess in zip(labels.T, predictions.T, strict=True)]
    )


def _pearson(label: np.ndarray, guess: np.ndarray) -> float:
    known = ~np.isnan(label) & ~np.isnan(guess)
    if known.sum() < 2 or not np.ptp(label[known]) or not np.ptp(guess[known]):
        return float("nan")
    return float(stats.pearsonr(label[known], guess[known]).statistic)


def jaccard(intended: ArrayLike, detected: ArrayLike) -> np.ndarray:
    """|intended ∩ detected| / |intended ∪ detected| of the active AUs of each face, (N,).

    AUs not annotated do not count. Two empty sets (neutral, and detected as neutral) agree: 1.
    """
    intended, detected = same_shape(intended, detected)
    both = ((intended == 1) & (detected == 1)).sum(1)
    either = ((intended == 1) | ((detected == 1) & ~np.isnan(intended))).sum(1)
    return np.where(either == 0, 1.0, both / np.maximum(either, 1))


def choose_thresholds(
    labels: ArrayLike, predictions: ArrayLike, grid: Sequence[float] = tuple(np.arange(2, 51) / 100)
) -> np.ndarray:
    """Per AU, the threshold from which a reading counts as detected, (K,), chosen for its F1.

    For the validation split only. Few people show an AU there, and the thresholds that suit them
    best need not suit others: of those within 0.03 of an AU's highest F1 the middle one is taken,
    and moved two thirds of the way to the mean over AUs. AUs that no annotated face shows get that
    mean, or ``ACTIVE_THRESHOLD`` if there is none.

    Args:
        labels: intensities (N, K), NaN where not annotated.
        predictions: estimated intensities (N, K).
        grid: candidate thresholds, ascending.
    """
    truth = presence(labels)
    scores = np.stack([f1_per_au(truth, presence(predictions, t)) for t in grid])
    shown = np.flatnonzero(~np.isnan(scores[0]))
    if not shown.size:
        return np.full(truth.shape[1], ACTIVE_THRESHOLD)
    best = np.empty(len(shown))
    for i, curve in enumerate(scores[:, shown].T):
        near_best = np.flatnonzero(curve >= curve.max() - 0.03)
        best[i] = grid[near_best[len(near_best) // 2]]
    thresholds = np.full(truth.shape[1], best.mean())
    thresholds[shown] += (best - best.mean()) / 3
    return thresholds


def cosine_distance(first: ArrayLike, second: ArrayLike) -> np.ndarray:
    """1 − cosine similarity of matching rows, (N,), in [0, 2]: the identity drift of the source."""
    first, second = same_shape(first, second)
    norms = np.linalg.norm(first, axis=1) * np.linalg.norm(second, axis=1)
    return 1.0 - (first * second).sum(1) / np.maximum(norms, 1e-12)


def equal_error_rate(distances: ArrayLike, same: ArrayLike) -> tuple[float, float]:
    """Equal error rate of verification, and the distance at which it is reached.

    At that distance as many pairs of one person are further apart as pairs of different people are
    closer, or as nearly as the pairs allow.

    Args:
        distances: (N,) of pairs of faces.
        same: (N,) bool, whether both faces show one person.
    """
    false_match, match, thresholds = roc_curve(np.asarray(same, bool), -np.asarray(distances))
    equal = np.argmin(np.abs(false_match - (1 - match)))
    return float((false_match[equal] + 1 - match[equal]) / 2), float(-thresholds[equal])


def same_shape(first: ArrayLike, second: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    first, second = np.asarray(first, np.float64), np.asarray(second, np.float64)
    if first.shape != second.shape:
        raise FacsimileError(f"metrics: shapes {first.shape} and {second.shape} differ")
    return first, second
