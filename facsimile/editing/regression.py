"""Regression of labels on semantic codes and of codes on labels, and orthogonal projection.

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

# LinearSVC penalises all coefficients, including the intercept. At this feature scale, a penalty
# is 100 times weaker than for z, which in effect is none.
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
        intercepts: (N,) group of each row; each group gets its own c. None: one c for all.

    Returns:
        w, (D,).
    """
    conditioned_on = centre(conditioned_on, intercepts)
    targets = centre(np.column_stack([z, y]), intercepts)
    residuals = targets - conditioned_on @ np.linalg.lstsq(conditioned_on, targets, rcond=None)[0]
    z_residual, y_residual = residuals[:, :-1], residuals[:, -1]
    gram = z_residual.T @ z_residual
    return np.linalg.solve(gram + alpha * np.eye(z.shape[1]), z_residual.T @ y_residual)


def conditional_svm(
    z: np.ndarray,
    active: np.ndarray,
    conditioned_on: np.ndarray,
    intercepts: np.ndarray | None = None,
    seed: int = 0,
) -> np.ndarray:
    """The z part of the normal of a linear SVM on z and Y_A.

    Args:
        z: (N, D).
        active: (N,) bool with both values present; the classes are weighted equally.
        conditioned_on: Y_A, (N, A); A may be 0.
        intercepts: (N,) group of each row; each group's mean is subtracted from its features.
        seed: seed of the solver.

    Returns:
        w, (D,), pointing to the active side.
    """
    features = centre(np.column_stack([z, _FREE_SCALE * conditioned_on]), intercepts)
    model = LinearSVC(
        dual=False, class_weight="balanced", intercept_scaling=_FREE_SCALE, random_state=seed
    )
    return model.fit(features, active).coef_[0, : z.shape[1]]


def centre(values: np.ndarray, groups: np.ndarray | None) -> np.ndarray:
    """Subtract its group's mean from each row of (N, V); without groups, the overall mean."""
    if groups is None:
        return values - values.mean(axis=0)
    _, index, count = np.unique(groups, return_inverse=True, return_counts=True)
    sums = np.zeros((len(count), values.shape[1]))
    np.add.at(sums, index, values)
    return values - (sums / count[:, None])[index]


def orthonormal_basis(vectors: np.ndarray) -> np.ndarray:
    """Q (D, r) of the span of the rows of `vectors` (V, D); r < V if they are dependent."""
    _, singular, rows = np.linalg.svd(np.atleast_2d(vectors), full_matrices=False)
    return rows[singular > 1e-8 * singular.max(initial=0.0)].T


def project_off(w: np.ndarray, basis: np.ndarray) -> np.ndarray:
    """``w − Q Qᵀ w``."""
    return w - basis @ (basis.T @ w)


def effects(z: np.ndarray, labels: np.ndarray, groups: np.ndarray | None) -> np.ndarray:
    """How codes change when one label rises by 1 while the other labels and the person stay fixed.

    Least squares of the forward model ``z = Y F + c``, all labels at once. A direction that
    separates active from inactive faces shows which way to go but not how far: predictions of a
    label from z shrink towards the mean, and undoing that divides by noise when labels are few. F
    inverts nothing in z, so it is unbiased even for weak labels.

    Args:
        z: (N, D).
        labels: Y, (N, K), NaN = not annotated. Each label is fitted together with its
            `companions`, on the rows annotated for all of them.
        groups: (N,) subject of each row; each subject gets its own c. None: one c for all.

    Returns:
        F, (K, D); NaN for labels that no row has.
    """
    annotated = ~np.isnan(labels)
    if annotated.all():
        return _slopes(z, labels, groups)
    slopes = np.full((labels.shape[1], z.shape[1]), np.nan)
    for column in np.flatnonzero(annotated.any(axis=0)):
        columns = [column, *companions(annotated, column)]
        rows = annotated[:, columns].all(axis=1)
        row_groups = None if groups is None else groups[rows]
        slopes[column] = _slopes(z[rows], labels[np.ix_(rows, columns)], row_groups)[0]
    return slopes


def companions(annotated: np.ndarray, column: int) -> list[int]:
    """Columns of the other labels that can be held constant when one label is fitted.

    Candidates are annotated on at least half of the rows that have the label. They are added from
    the most common on, as long as half of these rows have all of them: one AU with few labels must
    not cost the others most of their rows.

    Args:
        annotated: (N, K) bool.
        column: column of the fitted label.
    """
    rows = annotated[:, column]
    enough = 0.5 * rows.sum()
    shared = annotated[rows].sum(axis=0)
    chosen: list[int] = []
    remaining = rows.copy()
    for other in np.argsort(-shared, kind="stable"):
        if other != column and (remaining & annotated[:, other]).sum() >= enough:
            remaining &= annotated[:, other]
            chosen.append(int(other))
    return sorted(chosen)


def _slopes(z: np.ndarray, labels: np.ndarray, groups: np.ndarray | None) -> np.ndarray:
    """F (K, D) of labels without NaN."""
    return np.linalg.lstsq(centre(labels, groups), centre(z, groups), rcond=None)[0]


def readout_correlation(
    z: np.ndarray,
    labels: np.ndarray,
    groups: np.ndarray,
    alpha: float,
    within_groups: bool = False,
) -> np.ndarray:
    """Pearson r (K,) between each label and its out-of-group ridge prediction.

    Args:
        z, labels, groups, alpha, within_groups: see `out_of_group`. With `within_groups`, each
            group's mean is subtracted from labels and predictions first.
    """
    predictions = out_of_group(z, labels, groups, alpha, within_groups)
    pearson = np.empty(labels.shape[1])
    for column, y in enumerate(labels.T):
        annotated = ~np.isnan(y)
        pair = np.column_stack([predictions[annotated, column], y[annotated]])
        centred = centre(pair, groups[annotated] if within_groups else None)
        with np.errstate(invalid="ignore"):  # NaN where predictions or labels do not vary
            pearson[column] = np.corrcoef(centred.T)[0, 1]
    return pearson


def out_of_group(
    z: np.ndarray,
    labels: np.ndarray,
    groups: np.ndarray,
    alpha: float,
    within_groups: bool = False,
) -> np.ndarray:
    """Cross-validated ridge predictions (N, K): each row by a model fitted without its group.

    Args:
        z: (N, D).
        labels: (N, K), NaN = not annotated.
        groups: (N,) subject of each row.
        alpha: ridge penalty.
        within_groups: fit one intercept per group.

    Raises:
        FacsimileError: there is only one group.
    """
    folds = min(FOLDS, len(np.unique(groups)))
    if folds < 2:
        raise FacsimileError("one subject only: readouts cannot be checked on unseen subjects")
    predictions = np.empty(labels.shape)
    for fit, held_out in GroupKFold(folds).split(z, groups=groups):
        intercepts = groups[fit] if within_groups else None
        vectors, offset = ridge_readouts(z[fit], labels[fit], alpha, intercepts)
        predictions[held_out] = z[held_out] @ vectors.T + offset
    return predictions


def ridge_readouts(
    z: np.ndarray, labels: np.ndarray, alpha: float, intercepts: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Readouts U (K, D) and their offsets (K,); each column is fitted on its annotated rows."""
    vectors = np.zeros((labels.shape[1], z.shape[1]))
    offset = np.zeros(labels.shape[1])
    for column, y in enumerate(labels.T):
        annotated = ~np.isnan(y)
        if annotated.any():
            groups = None if intercepts is None else intercepts[annotated]
            nothing = np.empty((annotated.sum(), 0))
            vectors[column] = conditional_ridge(z[annotated], y[annotated], nothing, alpha, groups)
            offset[column] = y[annotated].mean() - z[annotated].mean(axis=0) @ vectors[column]
    return vectors, offset
