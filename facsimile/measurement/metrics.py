"""Metrics of AU detection, of AU entanglement and of edited faces.

Source: "Controlled Face Manipulation and Synthesis for Data Augmentation", section IV. Labels are
(N, 12) intensities in the order of ``AUS``, NaN where an AU is not annotated; such entries are left
out of every figure. An AU is present where its intensity is at least ``ACTIVE_THRESHOLD``. A figure
that is undefined (no positive, a constant column, an empty condition) is NaN, never 0.
"""

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy import stats
from sklearn.metrics import roc_auc_score, roc_curve

from facsimile.errors import FacsimileError
from facsimile.faces.annotation import presence
from facsimile.faces.aus import ACTIVE_THRESHOLD, AUS


def f1_per_au(labels: ArrayLike, detected: ArrayLike) -> np.ndarray:
    """F1 of each AU, (K,); NaN where no annotated face shows the AU.

    Args:
        labels: true presence (N, K) of `presence`.
        detected: detected presence (N, K), NaN where a detector cannot tell.
    """
    # Counted here rather than by sklearn.metrics.f1_score: the same figure, but without its checks
    # of every column, which would dominate the bootstrap, and with NaN left out.
    labels, detected = _same_shape(labels, detected)
    labels = np.where(np.isnan(detected), np.nan, labels)
    hits = ((labels == 1) & (detected == 1)).sum(0)
    errors = ((labels == 0) & (detected == 1)).sum(0) + ((labels == 1) & (detected == 0)).sum(0)
    return np.where((labels == 1).any(0), 2 * hits / np.maximum(2 * hits + errors, 1), np.nan)


def au_pair_fpr(labels: ArrayLike, detected: ArrayLike) -> np.ndarray:
    """AU-pair false positive rates (K, K), as in Fig. 8 of the source.

    Entry [i, j] is the rate of detecting AU i on the faces where i is absent and j is present. The
    diagonal and pairs that no face shows are NaN.

    Args:
        labels: true presence (N, K) of `presence`.
        detected: detected presence (N, K), NaN where a detector cannot tell.
    """
    labels, detected = _same_shape(labels, detected)
    absent = ((labels == 0) & ~np.isnan(detected)).astype(np.float64)
    present = (labels == 1).astype(np.float64)
    faces = absent.T @ present
    false_positives = (absent * np.nan_to_num(detected)).T @ present
    with np.errstate(invalid="ignore", divide="ignore"):
        rates = false_positives / faces
    rates[faces == 0] = np.nan
    return rates


def mean_defined(values: ArrayLike) -> float:
    """Mean over the entries that are defined; NaN if none is."""
    values = np.asarray(values, np.float64)
    defined = values[~np.isnan(values)]
    return float(defined.mean()) if defined.size else float("nan")


def pearson_per_au(labels: ArrayLike, predictions: ArrayLike) -> np.ndarray:
    """Pearson correlation of each AU's label and estimate, (K,), over faces that have both."""
    labels, predictions = _same_shape(labels, predictions)
    return np.array(
        [_pearson(label, guess) for label, guess in zip(labels.T, predictions.T, strict=True)]
    )


def _pearson(label: np.ndarray, guess: np.ndarray) -> float:
    known = ~np.isnan(label) & ~np.isnan(guess)
    if known.sum() < 2 or not np.ptp(label[known]) or not np.ptp(guess[known]):
        return float("nan")
    return float(stats.pearsonr(label[known], guess[known]).statistic)


def icc_3_1(labels: ArrayLike, predictions: ArrayLike) -> np.ndarray:
    """Intraclass correlation ICC(3,1) of each AU, (K,): two-way mixed, consistency, single rater.

    Shrout and Fleiss (1979): (BMS − EMS) / (BMS + (k − 1) EMS) with k = 2 raters, the annotator and
    the detector.
    """
    labels, predictions = _same_shape(labels, predictions)
    values = np.full(labels.shape[1], np.nan)
    for k in range(labels.shape[1]):
        known = ~np.isnan(labels[:, k]) & ~np.isnan(predictions[:, k])
        ratings = np.stack([labels[known, k], predictions[known, k]], axis=1)
        faces = len(ratings)
        if faces < 2:
            continue
        mean = ratings.mean()
        between_faces = 2 * ((ratings.mean(1) - mean) ** 2).sum() / (faces - 1)
        residual = ratings - ratings.mean(1, keepdims=True) - ratings.mean(0) + mean
        error = (residual**2).sum() / (faces - 1)
        if between_faces + error > 0:
            values[k] = (between_faces - error) / (between_faces + error)
    return values


def inter_au_correlation(aus: ArrayLike) -> np.ndarray:
    """Pearson correlation between every two AUs, (K, K), over faces annotated for both.

    Rows and columns of an AU that never varies are NaN.
    """
    return pd.DataFrame(np.asarray(aus, np.float64)).corr().to_numpy()


def mean_abs_correlation(matrix: ArrayLike) -> float:
    """Mean absolute off-diagonal entry of a correlation matrix; 0.16 → 0.09 in the source."""
    matrix = np.asarray(matrix, np.float64)
    return mean_defined(np.abs(matrix[~np.eye(len(matrix), dtype=bool)]))


def long_form(matrix: np.ndarray, row: str, column: str, value: str) -> pd.DataFrame:
    """A matrix (12, 12) over AUs as a table with one row per entry.

    Args:
        matrix: rows and columns in the order of ``AUS``.
        row, column, value: names of the three columns.
    """
    names = {row: np.repeat(AUS, len(AUS)), column: np.tile(AUS, len(AUS))}
    return pd.DataFrame({**names, value: matrix.ravel()})


def jaccard(intended: ArrayLike, detected: ArrayLike) -> np.ndarray:
    """|intended ∩ detected| / |intended ∪ detected| of the active AUs of each face, (N,).

    AUs not annotated do not count. Two empty sets (neutral, and detected as neutral) agree: 1.
    """
    intended, detected = _same_shape(intended, detected)
    both = ((intended == 1) & (detected == 1)).sum(1)
    either = ((intended == 1) | ((detected == 1) & ~np.isnan(intended))).sum(1)
    return np.where(either == 0, 1.0, both / np.maximum(either, 1))


def au_recall(labels: ArrayLike, detected: ArrayLike) -> float:
    """Share of all present AUs, over faces and AUs together, that are detected."""
    labels, detected = _same_shape(labels, detected)
    return mean_defined(detected[labels == 1])


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
    first, second = _same_shape(first, second)
    norms = np.linalg.norm(first, axis=1) * np.linalg.norm(second, axis=1)
    return 1.0 - (first * second).sum(1) / np.maximum(norms, 1e-12)


def verification_auc(distances: ArrayLike, same: ArrayLike) -> float:
    """Area under the ROC curve of verification: pairs of one person (`same`) by their distance."""
    return float(roc_auc_score(np.asarray(same, bool), -np.asarray(distances)))


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


def over_seeds(values: Sequence[float]) -> dict[str, float | list[float]]:
    """Mean and standard error over repeats; the error of a single repeat is NaN."""
    values = [float(value) for value in values]
    error = float(stats.sem(values)) if len(values) > 1 else float("nan")
    return {"mean": float(np.mean(values)), "se": error, "per_seed": values}


def cluster_bootstrap(
    clusters: ArrayLike,
    statistic: Callable[[np.ndarray], float],
    *,
    seed: int,
    draws: int = 500,
) -> tuple[float, float]:
    """95 % percentile interval of a statistic when whole clusters (people) are resampled.

    Faces of one person are not independent: resampling faces would promise too narrow an interval.

    Args:
        clusters: cluster of each of N rows.
        statistic: maps row numbers (with repeats) to a figure; NaN draws are left out, and if all
            are NaN, so is the interval.
        seed: seed of the resampling.
        draws: number of resamples.
    """
    _, codes = np.unique(np.asarray(clusters), return_inverse=True)
    rows = [np.flatnonzero(codes == code) for code in range(codes.max() + 1)]
    rng = np.random.default_rng(seed)
    values = []
    for _ in range(draws):
        chosen = rng.integers(len(rows), size=len(rows))
        values.append(statistic(np.concatenate([rows[code] for code in chosen])))
    if np.isnan(values).all():
        return float("nan"), float("nan")
    low, high = np.nanquantile(values, [0.025, 0.975])
    return float(low), float(high)


def _same_shape(first: ArrayLike, second: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    first, second = np.asarray(first, np.float64), np.asarray(second, np.float64)
    if first.shape != second.shape:
        raise FacsimileError(f"metrics: shapes {first.shape} and {second.shape} differ")
    return first, second
