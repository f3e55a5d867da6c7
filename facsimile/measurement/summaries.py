"""Metrics that are only reported: entanglement, agreement, variation over seeds and people.

The conventions are those of `facsimile.measurement.metrics`.
"""

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy import stats
from sklearn.metrics import roc_auc_score

from facsimile.faces.aus import AUS
from facsimile.measurement.metrics import mean_defined, same_shape


def au_pair_fpr(labels: ArrayLike, detected: ArrayLike) -> np.ndarray:
    """AU-pair false positive rates (K, K), as in Fig. 8 of the source.

    Entry [i, j] is the rate of detecting AU i on faces where i is absent and j is present; NaN if
    there are no such faces, and on the diagonal.

    Args:
        labels: true presence (N, K), see `presence`.
        detected: detected presence (N, K), NaN for AUs that the detector has not learnt.
    """
    labels, detected = same_shape(labels, detected)
    absent = ((labels == 0) & ~np.isnan(detected)).astype(np.float64)
    present = (labels == 1).astype(np.float64)
    faces = absent.T @ present
    false_positives = (absent * np.nan_to_num(detected)).T @ present
    with np.errstate(invalid="ignore", divide="ignore"):
        rates = false_positives / faces
    rates[faces == 0] = np.nan
    return rates


def icc_3_1(labels: ArrayLike, predictions: ArrayLike) -> np.ndarray:
    """Intraclass correlation ICC(3,1) of each AU, (K,): two-way mixed, consistency, single rater.

    Shrout and Fleiss (1979): (BMS − EMS) / (BMS + (k − 1) EMS) with k = 2 raters, the annotator and
    the detector.
    """
    labels, predictions = same_shape(labels, predictions)
    values = np.full(labels.shape[1], np.nan)
    for k in range(labels.shape[1]):
        both = ~np.isnan(labels[:, k]) & ~np.isnan(predictions[:, k])
        ratings = np.stack([labels[both, k], predictions[both, k]], axis=1)
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
    """Pearson correlation of every pair of AUs, (K, K), over faces annotated for both.

    Rows and columns of constant AUs are NaN.
    """
    return pd.DataFrame(np.asarray(aus, np.float64)).corr().to_numpy()


def mean_abs_correlation(matrix: ArrayLike) -> float:
    """Mean absolute off-diagonal entry of a correlation matrix; 0.16 → 0.09 in the source."""
    matrix = np.asarray(matrix, np.float64)
    return mean_defined(np.abs(matrix[~np.eye(len(matrix), dtype=bool)]))


def long_form(matrix: np.ndarray, row: str, column: str, value: str) -> pd.DataFrame:
    """Turn a matrix (12, 12) over AUs into a table with one row per entry.

    Args:
        matrix: rows and columns in the order of ``AUS``.
        row, column, value: names of the three columns.
    """
    names = {row: np.repeat(AUS, len(AUS)), column: np.tile(AUS, len(AUS))}
    return pd.DataFrame({**names, value: matrix.ravel()})


def au_recall(labels: ArrayLike, detected: ArrayLike) -> float:
    """Share of present AUs that are detected, pooled over faces and AUs."""
    labels, detected = same_shape(labels, detected)
    return mean_defined(detected[labels == 1])


def verification_auc(distances: ArrayLike, same: ArrayLike) -> float:
    """Area under the ROC curve of face verification by distance, as in `equal_error_rate`."""
    return float(roc_auc_score(np.asarray(same, bool), -np.asarray(distances)))


def over_seeds(values: Sequence[float]) -> dict[str, float | list[float]]:
    """Mean and standard error over repeats; the standard error is NaN for a single repeat."""
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
    """95 % percentile interval of a statistic from resampling whole clusters (people).

    Faces of the same person are not independent, so resampling faces would make the interval too
    narrow.

    Args:
        clusters: cluster of each of N rows.
        statistic: maps row numbers (with repeats) to a value. NaN values are ignored; if all are
            NaN, so is the interval.
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
