"""Identity as a subspace of the semantic code: linear discriminants of people.

A person's codes vary with expression, light and pose as well as with identity. Linear discriminant
analysis of people with several faces finds the directions in which people differ more than one
person's faces do, and scales them so that the variation within a person is the same everywhere.
"""

from typing import Self

import numpy as np
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from facsimile.errors import FacsimileError
from facsimile.faces.annotation import MIN_PEOPLE
from facsimile.measurement.metrics import cosine_distance, equal_error_rate

HELD_OUT = 0.25  # share of the people that sets the threshold


class IdentitySpace:
    """Face verification by the cosine distance of projected codes.

    Args:
        components: dimensions kept, those that separate people best.
        seed: of the choice of held-out people and of the pairs.

    Attributes:
        mean_, basis_: a code z is projected to ``(z - mean_) @ basis_``, (D,) and (D, C).
        threshold_: distance of equal error rates on held-out people: pairs further apart count as
            different people.
        equal_error_rate_: the error rate at that distance.
    """

    def __init__(self, components: int = 32, *, seed: int) -> None:
        self.components = components
        self.seed = seed

    def fit(self, z: np.ndarray, subjects: np.ndarray) -> Self:
        """Fit on normalised codes (M, D) and their M subject ids.

        People with a single face are left out.

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
        """Cosine distance (N,), in [0, 2], of matching normalised codes (N, D)."""
        return cosine_distance(
            (np.asarray(first, np.float64) - self.mean_) @ self.basis_,
            (np.asarray(second, np.float64) - self.mean_) @ self.basis_,
        )


def _partners(people: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """For each face the row of another face of its person, and of a face of another person."""
    same, other = np.empty_like(people), np.empty_like(people)
    for row, person in enumerate(people):
        is_same = people == person
        other[row] = rng.choice(np.flatnonzero(~is_same))
        is_same[row] = False
        same[row] = rng.choice(np.flatnonzero(is_same))
    return same, other
