"""Metrics that are used for fitting models and filtering faces as well as for reporting.

Source: "Controlled Face Manipulation and Synthesis for Data Augmentation", section IV. Labels are
intensities (N, 12) in the order of ``AUS``, NaN where an AU is not annotated; such entries are
ignored. An AU is present if its intensity is at least ``ACTIVE_THRESHOLD``. Undefined metrics (no
positives, a constant column, an empty condition) are NaN, never 0.
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
    """F1 of each AU, (K,); NaN for AUs that are active on no annotated face.

    Args:
        labels: true presence (N, K), see `presence`.
        detected: detected presence (N, K), NaN for AUs that the detector has not learnt.
    """
    # Not sklearn.metrics.f1_score: its input checks would dominate the bootstrap, and it does not
    # ignore NaN. The values are the same.
    labels, detected = same_shape(labels, detected)
    labels = np.where(np.isnan(detected), np.nan, labels)
    hits = ((labels == 1) & (detected == 1)).sum(0)
    errors = ((labels == 0) & (detected == 1)).sum(0) + ((labels == 1) & (detected == 0)).sum(0)
    return np.where((labels == 1).any(0), 2 * hits / np.maximum(2 * hits + errors, 1), np.nan)


def mean_defined(values: ArrayLike) -> float:
    """Mean over entries that are not NaN; NaN if all are."""
    values = np.asarray(values, np.float64)
    defined = values[~np.isnan(values)]
    return float(defined.mean()) if defined.size else float("nan")


def pearson_per_au(labels: ArrayLike, predictions: ArrayLike) -> np.ndarray:
    """Pearson correlation of label and prediction per AU, (K,), over faces that have both."""
    labels, predictions = same_shape(labels, predictions)
    return np.array(
        [_pearson(label, column) for label, column in zip(labels.T, predictions.T, strict=True)]
    )


def _pearson(label: np.ndarray, prediction: np.ndarray) -> float:
    both = ~np.isnan(label) & ~np.isnan(prediction)
    if both.sum() < 2 or not np.ptp(label[both]) or not np.ptp(prediction[both]):
        return float("nan")
    return float(stats.pearsonr(label[both], prediction[both]).statistic)


def jaccard(intended: ArrayLike, detected: ArrayLike) -> np.ndarray:
    """Jaccard similarity of intended and detected active AUs of each face, (N,).

    AUs with unknown intent (NaN) are ignored. Two empty sets (neutral and detected as neutral) have
    similarity 1.
    """
    intended, detected = same_shape(intended, detected)
    both = ((intended == 1) & (detected == 1)).sum(1)
    either = ((intended == 1) | ((detected == 1) & ~np.isnan(intended))).sum(1)
    return np.where(either == 0, 1.0, both / np.maximum(either, 1))


def choose_thresholds(
    labels: ArrayLike, predictions: ArrayLike, grid: Sequence[float] = tuple(np.arange(2, 51) / 100)
) -> np.ndarray:
    """Detection threshold of each AU, (K,), chosen by F1 on the validation split.

    Validation has few people who show each AU, and the thresholds that are best for them may not
    suit others. So of the thresholds with an F1 within 0.03 of the AU's best, the middle one is
    chosen, and then moved two thirds of the way to the mean over AUs. AUs that are active on no
    annotated face get this mean, or ``ACTIVE_THRESHOLD`` if there is none.

    Args:
        labels: intensities (N, K), NaN where not annotated.
        predictions: predicted intensities (N, K).
        grid: candidate thresholds, ascending.
    """
    truth = presence(labels)
    scores = np.stack([f1_per_au(truth, presence(predictions, t)) for t in grid])
    occurring = np.flatnonzero(~np.isnan(scores[0]))
    if not occurring.size:
        return np.full(truth.shape[1], ACTIVE_THRESHOLD)
    best = np.empty(len(occurring))
    for i, curve in enumerate(scores[:, occurring].T):
        near_best = np.flatnonzero(curve >= curve.max() - 0.03)
        best[i] = grid[near_best[len(near_best) // 2]]
    thresholds = np.full(truth.shape[1], best.mean())
    thresholds[occurring] += (best - best.mean()) / 3
    return thresholds


def cosine_distance(first: ArrayLike, second: ArrayLike) -> np.ndarray:
    """1 − cosine similarity of matching rows, (N,), in [0, 2]; "identity drift" in the source."""
    first, second = same_shape(first, second)
    norms = np.linalg.norm(first, axis=1) * np.linalg.norm(second, axis=1)
    return 1.0 - (first * second).sum(1) / np.maximum(norms, 1e-12)


def equal_error_rate(distances: ArrayLike, same: ArrayLike) -> tuple[float, float]:
    """Equal error rate of face verification, and the distance threshold at which it is reached.

    At this threshold, the share of same-person pairs above it equals the share of different-person
    pairs below it, as nearly as the pairs allow.

    Args:
        distances: distances (N,) of pairs of faces.
        same: (N,) bool, whether both faces show the same person.
    """
    false_match, match, thresholds = roc_curve(np.asarray(same, bool), -np.asarray(distances))
    equal = np.argmin(np.abs(false_match - (1 - match)))
    return float((false_match[equal] + 1 - match[equal]) / 2), float(-thresholds[equal])


def same_shape(first: ArrayLike, second: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Both as float64 arrays. Raises FacsimileError if their shapes differ."""
    first, second = np.asarray(first, np.float64), np.asarray(second, np.float64)
    if first.shape != second.shape:
        raise FacsimileError(f"metrics: shapes {first.shape} and {second.shape} differ")
    return first, second
