"""Linear models on semantic codes: conditioned fits, projection, and unbiased readouts.

Symbols:
    z (N, D)   normalised semantic codes       y (N,)     labels of the target attribute
    Y (N, K)   labels of several attributes    Y_A        labels conditioned on
    w (D,)     direction                       U, G       raw and unbiased readouts (K, D)
    B (K, K)   gain of the raw readouts        Q (D, r)   orthonormal basis to project off

All functions take and return float64 NumPy arrays.
"""

import warnings
from typing import NamedTuple

import numpy as np
from sklearn.model_selection import GroupKFold
from sklearn.svm import LinearSVC

from facsimile.errors import FacsimileError

FOLDS = 5
MIN_GAIN = 0.05

# LinearSVC penalises every coefficient, the intercept included. Features fed at this scale have
# their coefficients penalised 100 times less than those of z: in effect not at all.
_FREE_SCALE = 10.0


def conditional_ridge(
    z: np.ndarray, y: np.ndarray, conditioned_on: np.ndarray, alpha: float
) -> np.ndarray:
    """The w of ``min ||y − z w − Y_A b − c||² + α||w||²``.

    b and c are not penalised, so they can be minimised out first: with M the projector off the
    columns of [Y_A, 1], ``w = (zᵀ M z + α I)⁻¹ zᵀ M y`` (Frisch–Waugh–Lovell).

    Args:
        z: (N, D).
        y: (N,).
        conditioned_on: Y_A, (N, A); A may be 0.
        alpha: ridge penalty, > 0.

    Returns:
        w, (D,).
    """
    free = np.column_stack([conditioned_on, np.ones(len(y))])
    targets = np.column_stack([z, y])
    residuals = targets - free @ np.linalg.lstsq(free, targets, rcond=None)[0]
    z_left, y_left = residuals[:, :-1], residuals[:, -1]
    return np.linalg.solve(z_left.T @ z_left + alpha * np.eye(z.shape[1]), z_left.T @ y_left)


def conditional_svm(
    z: np.ndarray, active: np.ndarray, conditioned_on: np.ndarray, seed: int = 0
) -> np.ndarray:
    """The z part of the normal of a linear SVM that also sees Y_A.

    Args:
        z: (N, D).
        active: (N,) bool, both values present; classes are weighted to balance.
        conditioned_on: Y_A, (N, A); A may be 0.
        seed: seed of the solver.

    Returns:
        w, (D,), towards the active side.
    """
    features = np.column_stack([z, _FREE_SCALE * conditioned_on])
    model = LinearSVC(
        dual=False, class_weight="balanced", intercept_scaling=_FREE_SCALE, random_state=seed
    )
    return model.fit(features, active).coef_[0, : z.shape[1]]


def orthonormal_basis(vectors: np.ndarray) -> np.ndarray:
    """Q (D, r) spanning the rows of `vectors` (V, D); r < V where they are dependent."""
    _, singular, rows = np.linalg.svd(np.atleast_2d(vectors), full_matrices=False)
    return rows[singular > 1e-8 * singular.max(initial=0.0)].T


def project_off(w: np.ndarray, basis: np.ndarray) -> np.ndarray:
    """``w − Q Qᵀ w``."""
    return w - basis @ (basis.T @ w)


class Readouts(NamedTuple):
    """Linear readouts whose reading, on people not seen in fitting, follows the labels one to one.

    Attributes:
        vectors: G, (K, D); the reading of attribute k is ``z @ vectors[k] + bias[k]``.
        bias: (K,).
        gain: (K,) share of a real change that the raw ridge readout reported.
        pearson: (K,) correlation of raw readout and label on unseen groups.
    """

    vectors: np.ndarray
    bias: np.ndarray
    gain: np.ndarray
    pearson: np.ndarray


def fit_readouts(
    z: np.ndarray, labels: np.ndarray, groups: np.ndarray, names: tuple[str, ...], alpha: float
) -> Readouts:
    """Fit unbiased readouts of several attributes.

    A ridge regression of y on z minimises the error of ŷ, and for that it shrinks: when y really
    rises by 1, ŷ rises on average by a gain B_kk < 1 (z varies for other reasons too, so part of
    the evidence is discounted towards the mean), and by B_kj when a co-activated y_j does. A
    direction scaled to move ŷ by 1 would thus move the face *further* than a real level E, by
    1/B_kk. So B is estimated, ``ŷ = B y + c`` by least squares on all labels jointly, from readings
    of rows whose group took no part in the fit, and undone: ``G = B⁻¹ U``. This is the classical
    (unbiased) estimator of statistical calibration rather than the inverse (shrunken) one, the
    right one for reaching an absolute level far from the mean. It makes the reading of attribute k
    rise by 1 per unit of y_k and by 0 per unit of every other y_j in real faces.

    Args:
        z: (N, D).
        labels: Y, (N, K), NaN where not annotated; each column has its own rows for U, and B uses
            the rows where all are annotated.
        groups: (N,) subject of each row; folds do not split a subject.
        names: K names, for messages.
        alpha: ridge penalty.

    Raises:
        FacsimileError: a constant or unlabelled column, a single group, or no fully annotated row.
    """
    for column, name in enumerate(names):
        known = labels[~np.isnan(labels[:, column]), column]
        if known.size == 0 or known.min() == known.max():
            raise FacsimileError(f"{name}: its {known.size} labels do not vary, nothing to fit")
    complete = ~np.isnan(labels).any(axis=1)
    if not complete.any():
        raise FacsimileError(f"no row is annotated for all of {', '.join(names)}")

    raw, offset = ridge_readouts(z, labels, alpha)
    unseen = out_of_group(z, labels, groups, alpha)
    gain = _slopes(unseen[complete], labels[complete])
    own = np.diag(gain).copy()
    # An attribute that does not generalise has no meaningful gain; dividing by noise would send
    # its direction anywhere, so the gain on its own training rows, always positive, stands in.
    unreadable = own < MIN_GAIN
    if unreadable.any():
        fitted = (z @ raw.T + offset)[complete]
        gain[unreadable] = _slopes(fitted, labels[complete])[unreadable]
        low = ", ".join(name for name, bad in zip(names, unreadable, strict=True) if bad)
        warnings.warn(
            f"{low}: can hardly be read from the codes of unseen subjects; the length of these "
            "directions is only a guess",
            stacklevel=2,
        )
    vectors = np.linalg.solve(gain, raw)
    bias = labels[complete].mean(axis=0) - vectors @ z[complete].mean(axis=0)
    pearson = np.empty(len(names))
    for column, y in enumerate(labels.T):
        known = ~np.isnan(y)
        pearson[column] = np.corrcoef(unseen[known, column], y[known])[0, 1]
    return Readouts(vectors, bias, own, pearson)


def out_of_group(z: np.ndarray, labels: np.ndarray, groups: np.ndarray, alpha: float) -> np.ndarray:
    """Ridge readings (N, K) of every row by a model fitted without that row's group."""
    folds = min(FOLDS, len(np.unique(groups)))
    if folds < 2:
        raise FacsimileError("one subject only: readouts cannot be checked on unseen subjects")
    readings = np.empty(labels.shape)
    for fit, held_out in GroupKFold(folds).split(z, groups=groups):
        vectors, offset = ridge_readouts(z[fit], labels[fit], alpha)
        readings[held_out] = z[held_out] @ vectors.T + offset
    return readings


def ridge_readouts(
    z: np.ndarray, labels: np.ndarray, alpha: float
) -> tuple[np.ndarray, np.ndarray]:
    """Raw readouts U (K, D) and their offsets (K,); each column uses its annotated rows."""
    vectors = np.zeros((labels.shape[1], z.shape[1]))
    offset = np.zeros(labels.shape[1])
    for column, y in enumerate(labels.T):
        known = ~np.isnan(y)
        if known.any():
            vectors[column] = conditional_ridge(
                z[known], y[known], np.empty((known.sum(), 0)), alpha
            )
            offset[column] = y[known].mean() - z[known].mean(axis=0) @ vectors[column]
    return vectors, offset


def _slopes(readings: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """B of ``readings = labels Bᵀ + c``, (K, K)."""
    centred = labels - labels.mean(axis=0)
    return np.linalg.lstsq(centred, readings - readings.mean(axis=0), rcond=None)[0].T
