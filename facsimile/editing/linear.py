"""Linear models on semantic codes: conditioned fits, projection, effects and readings.

Symbols:
    z (N, D)   normalised semantic codes       y (N,)     labels of the target attribute
    Y (N, K)   labels of several attributes    Y_A        labels conditioned on
    w (D,)     direction                       F (K, D)   effects of the labels on z
    U (K, D)   ridge readouts                  Q (D, r)   orthonormal basis to project off

All functions take and return float64 NumPy arrays.
"""

import numpy as np
from sklearn.model_selection import GroupKFold
from sklearn.svm import LinearSVC

from facsimile.errors import FacsimileError

FOLDS = 5

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


def effects(z: np.ndarray, labels: np.ndarray, groups: np.ndarray | None) -> np.ndarray:
    """How codes change when one label rises by 1 while the others, and the person, stay.

    Least squares of the forward model ``z = Y F + c``, all labels at once. A direction that
    separates active from inactive faces says which way to go, not how far: reading a label from z
    shrinks towards the mean, and undoing that divides by noise when labels are few. F needs no
    inverse of anything in z, so it is unbiased however weak the label is.

    Args:
        z: (N, D).
        labels: Y, (N, K), NaN = not annotated. For each label, those held are its `companions`, and
            only rows count that have all of these.
        groups: (N,) subject of each row; every subject has a c of its own. None: one for all.

    Returns:
        F, (K, D); NaN for labels that no row has.
    """
    known = ~np.isnan(labels)
    if known.all():
        return _slopes(z, labels, groups)
    found = np.full((labels.shape[1], z.shape[1]), np.nan)
    for column in np.flatnonzero(known.any(axis=0)):
        columns = [column, *companions(known, column)]
        rows = known[:, columns].all(axis=1)
        own_groups = None if groups is None else groups[rows]
        found[column] = _slopes(z[rows], labels[np.ix_(rows, columns)], own_groups)[0]
    return found


def companions(known: np.ndarray, column: int) -> list[int]:
    """Other labels that can be held constant while one is looked at: columns of `known`.

    Those annotated on at least half of the rows that have the label, of the commonest on, as long
    as half of these rows have them all: few labels of one AU must not cost the others most rows.

    Args:
        known: (N, K) bool, where there are labels.
        column: of the label.
    """
    rows = known[:, column]
    enough = 0.5 * rows.sum()
    shared = known[rows].sum(axis=0)
    chosen: list[int] = []
    left = rows.copy()
    for other in np.argsort(-shared, kind="stable"):
        if other != column and (left & known[:, other]).sum() >= enough:
            left &= known[:, other]
            chosen.append(int(other))
    return sorted(chosen)


def _slopes(z: np.ndarray, labels: np.ndarray, groups: np.ndarray | None) -> np.ndarray:
    """F (K, D) of complete labels."""
    return np.linalg.lstsq(centre(labels, groups), centre(z, groups), rcond=None)[0]


def reading_correlation(
    z: np.ndarray,
    labels: np.ndarray,
    groups: np.ndarray,
    alpha: float,
    within_groups: bool = False,
) -> np.ndarray:
    """Pearson r (K,) of each label and its ridge reading on unseen groups; arguments as there.

    With `within_groups`, of the differences within groups.
    """
    readings = out_of_group(z, labels, groups, alpha, within_groups)
    pearson = np.empty(labels.shape[1])
    for column, y in enumerate(labels.T):
        known = ~np.isnan(y)
        pair = np.column_stack([readings[known, column], y[known]])
        centred = centre(pair, groups[known] if within_groups else None)
        with np.errstate(invalid="ignore"):  # NaN where readings or labels do not vary
            pearson[column] = np.corrcoef(centred.T)[0, 1]
    return pearson


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
    """Readouts U (K, D) and their offsets (K,); each column uses its annotated rows."""
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
