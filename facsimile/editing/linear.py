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
    z: np.ndarray,
    y: np.ndarray,
    conditioned_on: np.ndarray,
    alpha: float,
    intercepts: np.ndarray | None = None,
) -> np.ndarray:
    """The w of ``min ||y − z w − Y_A b − c||² + α||w||²``.

    b and c are not penalised, so they can be minimised out first: with M the projector off the
    columns of [Y_A, 1], ``w = (zᵀ M z + α I)⁻¹ zᵀ M y`` (Frisch–Waugh–Lovell).

    Args:
        z: (N, D).
        y: (N,).
        conditioned_on: Y_A, (N, A); A may be 0.
        alpha: ridge penalty, > 0.
        intercepts: (N,) group of each row; every group has a c of its own. None: one for all.

    Returns:
        w, (D,).
    """
    conditioned_on = centre(conditioned_on, intercepts)
    targets = centre(np.column_stack([z, y]), intercepts)
    residuals = targets - conditioned_on @ np.linalg.lstsq(conditioned_on, targets, rcond=None)[0]
    z_left, y_left = residuals[:, :-1], residuals[:, -1]
    return np.linalg.solve(z_left.T @ z_left + alpha * np.eye(z.shape[1]), z_left.T @ y_left)


def conditional_svm(
    z: np.ndarray,
    active: np.ndarray,
    conditioned_on: np.ndarray,
    intercepts: np.ndarray | None = None,
    seed: int = 0,
) -> np.ndarray:
    """The z part of the normal of a linear SVM that also sees Y_A.

    Args:
        z: (N, D).
        active: (N,) bool, both values present; classes are weighted to balance.
        conditioned_on: Y_A, (N, A); A may be 0.
        intercepts: (N,) group of each row; features are taken relative to the mean of the group.
        seed: seed of the solver.

    Returns:
        w, (D,), towards the active side.
    """
    features = centre(np.column_stack([z, _FREE_SCALE * conditioned_on]), intercepts)
    model = LinearSVC(
        dual=False, class_weight="balanced", intercept_scaling=_FREE_SCALE, random_state=seed
    )
    return model.fit(features, active).coef_[0, : z.shape[1]]


def centre(values: np.ndarray, groups: np.ndarray | None) -> np.ndarray:
    """Subtract from each row of (N, V) the mean of its group; None: the mean of all rows."""
    if groups is None:
        return values - values.mean(axis=0)
    _, index, count = np.unique(groups, return_inverse=True, return_counts=True)
    sums = np.zeros((len(count), values.shape[1]))
    np.add.at(sums, index, values)
    return values - (sums / count[:, None])[index]


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
    z: np.ndarray,
    labels: np.ndarray,
    groups: np.ndarray,
    names: tuple[str, ...],
    alpha: float,
    within_groups: bool = False,
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
        within_groups: fit and judge differences within a group only, as edits of one person are;
            needs labels that vary within groups.

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

    intercepts = groups if within_groups else None
    raw, _ = ridge_readouts(z, labels, alpha, intercepts)
    unseen = out_of_group(z, labels, groups, alpha, within_groups)
    levels = None if intercepts is None else groups[complete]
    gain = _slopes(unseen[complete], labels[complete], levels)
    own = np.diag(gain).copy()
    # An attribute that does not generalise has no meaningful gain; dividing by noise would send
    # its direction anywhere, so the gain on its own training rows, always positive, stands in.
    unreadable = own < MIN_GAIN
    if unreadable.any():
        fitted = _slopes(z[complete] @ raw.T, labels[complete], levels)
        gain[unreadable] = fitted[unreadable]
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
        pair = np.column_stack([unseen[known, column], y[known]])
        centred = centre(pair, groups[known] if within_groups else None)
        pearson[column] = np.corrcoef(centred.T)[0, 1]
    return Readouts(vectors, bias, own, pearson)


def out_of_group(
    z: np.ndarray,
    labels: np.ndarray,
    groups: np.ndarray,
    alpha: float,
    within_groups: bool = False,
) -> np.ndarray:
    """Ridge readings (N, K) of every row by a model fitted without that row's group."""
    folds = min(FOLDS, len(np.unique(groups)))
    if folds < 2:
        raise FacsimileError("one subject only: readouts cannot be checked on unseen subjects")
    readings = np.empty(labels.shape)
    for fit, held_out in GroupKFold(folds).split(z, groups=groups):
        intercepts = groups[fit] if within_groups else None
        vectors, offset = ridge_readouts(z[fit], labels[fit], alpha, intercepts)
        readings[held_out] = z[held_out] @ vectors.T + offset
    return readings


def ridge_readouts(
    z: np.ndarray, labels: np.ndarray, alpha: float, intercepts: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Raw readouts U (K, D) and their offsets (K,); each column uses its annotated rows."""
    vectors = np.zeros((labels.shape[1], z.shape[1]))
    offset = np.zeros(labels.shape[1])
    for column, y in enumerate(labels.T):
        known = ~np.isnan(y)
        if known.any():
            groups = None if intercepts is None else intercepts[known]
            nothing = np.empty((known.sum(), 0))
            vectors[column] = conditional_ridge(z[known], y[known], nothing, alpha, groups)
            offset[column] = y[known].mean() - z[known].mean(axis=0) @ vectors[column]
    return vectors, offset


def _slopes(readings: np.ndarray, labels: np.ndarray, groups: np.ndarray | None) -> np.ndarray:
    """B of ``readings = labels Bᵀ + c``, (K, K), with a c for each group."""
    return np.linalg.lstsq(centre(labels, groups), centre(readings, groups), rcond=None)[0].T
