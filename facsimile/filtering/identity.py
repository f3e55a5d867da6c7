"""Identity as a subspace of the semantic code: linear discriminants of people.

A person's codes vary with expression, light and pose as well as with identity. Linear discriminant
analysis finds directions along which people differ more than faces of the same person do, and
scales them so that variation within a person is equal in all of them.
"""

from typing import Self

import numpy as np
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from facsimile.errors import FacsimileError
from facsimile.faces.annotation import MIN_PEOPLE
from facsimile.measurement.metrics import cosine_distance, equal_error_rate

HELD_OUT = 0.25  # share of people on whom the threshold is chosen


class IdentitySpace:
    """Face verification by the cosine distance of projected codes.

    Args:
        components: number of dimensions to keep, those that separate people best.
        seed: seed of the choice of held-out people and pairs.

    Attributes:
        mean_, basis_: a code z is projected to ``(z - mean_) @ basis_``, (D,) and (D, C).
        threshold_: distance with equal error rates on held-out people; pairs further apart count as
            different people.
        equal_error_rate_: error rate at `threshold_`.
    """

    def __init__(self, components: int = 32, *, seed: int) -> None:
        self.components = components
        self.seed = seed

    def fit(self, z: np.ndarray, subjects: np.ndarray) -> Self:
        """Fit on normalised codes (M, D) and their M subject ids.

        People with only one face are ignored.

        Raises:
            FacsimileError: fewer than ``MIN_PEOPLE`` people have several faces.
        """
        names, people, counts = np.unique(subjects, return_inverse=True, return_counts=True)
        several = counts[people] > 1
        if (counts > 1).sum() < MIN_PEOPLE:
            raise FacsimileError(
                f"identity: {(counts > 1).sum()} of {len(names)} people have several faces; "
                f"at least {MIN_PEOPLE} are needed"
            )
        z, people = np.asarray(z, np.float64)[several], people[several]
        rng = np.random.default_rng(self.seed)
        order = rng.permutation(np.unique(people))
        held_out = np.isin(people, order[: max(2, int(len(order) * HELD_OUT))])

        self.mean_ = z[~held_out].mean(0)
        limit = min(self.components, z.shape[1], len(np.unique(people[~held_out])) - 1)
        discriminants = LinearDiscriminantAnalysis(
            solver="eigen", shrinkage="auto", n_components=limit
        ).fit(z[~held_out] - self.mean_, people[~held_out])
        self.basis_ = discriminants.scalings_[:, :limit]

        projected, people = (z[held_out] - self.mean_) @ self.basis_, people[held_out]
        same_person, other_person = _partners(people, rng)
        distances = np.concatenate(
            [cosine_distance(projected, projected[rows]) for rows in (same_person, other_person)]
        )
        same = np.repeat([True, False], len(people))
        self.equal_error_rate_, self.threshold_ = equal_error_rate(distances, same)
        return self

    def predict(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        """Cosine distance (N,) in [0, 2] between matching rows of two sets of codes (N, D)."""
        return cosine_distance(self._project(first), self._project(second))

    def _project(self, z: np.ndarray) -> np.ndarray:
        centred = np.array(z, np.float64)
        centred -= self.mean_  # in place: these are the largest arrays of the filter
        return centred @ self.basis_


def _partners(people: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """For each face, the row of another face of the same person and of a face of another person."""
    same, other = np.empty_like(people), np.empty_like(people)
    for row, person in enumerate(people):
        is_same = people == person
        other[row] = rng.choice(np.flatnonzero(~is_same))
        is_same[row] = False
        same[row] = rng.choice(np.flatnonzero(is_same))
    return same, other
