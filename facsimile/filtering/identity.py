"""Identity as a subspace of the semantic code: linear discriminants of people.

A person's codes vary with expression, light and pose as well as with identity. Linear discriminant
analysis of people with several faces finds the directions in which people differ more than their
own faces do, and scales them so that a person's own variation is the same everywhere.
"""

from dataclasses import dataclass

import numpy as np
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.metrics import roc_curve

from facsimile.errors import FacsimileError
from facsimile.measurement.metrics import cosine_distance

HELD_OUT = 0.25  # share of the people that sets the threshold
MIN_PEOPLE = 8  # with several faces each


@dataclass(frozen=True)
class IdentitySpace:
    """Verification of faces by the cosine distance of projected codes.

    Attributes:
        mean, basis: a code z is projected to ``(z - mean) @ basis``, (D,) and (D, C).
        threshold: distance at which as many pairs of one person are further apart as pairs of
            different people are closer; measured on people held out.
        equal_error_rate: that share.
    """

    mean: np.ndarray
    basis: np.ndarray
    threshold: float
    equal_error_rate: float

    @classmethod
    def fit(
        cls, z: np.ndarray, subjects: np.ndarray, *, components: int = 32, seed: int
    ) -> "IdentitySpace":
        """Fit on normalised codes (M, D) of M faces; people with a single face are left out.

        Args:
            z, subjects: codes, and whose they are.
            components: dimensions kept, those that tell people apart best.
            seed: of the choice of held-out people and of the pairs.

        Raises:
            FacsimileError: fewer than eight people have several faces.
        """
        people, codes, counts = np.unique(subjects, return_inverse=True, return_counts=True)
        several = counts[codes] > 1
        if (counts > 1).sum() < MIN_PEOPLE:
            raise FacsimileError(
                f"identity: {(counts > 1).sum()} of {len(people)} people have several faces; "
                f"at least {MIN_PEOPLE} are needed"
            )
        z, codes = np.asarray(z, np.float64)[several], codes[several]
        rng = np.random.default_rng(seed)
        order = rng.permutation(np.unique(codes))
        held_out = np.isin(codes, order[: max(2, int(len(order) * HELD_OUT))])

        mean = z[~held_out].mean(0)
        limit = min(components, z.shape[1], len(np.unique(codes[~held_out])) - 1)
        discriminants = LinearDiscriminantAnalysis(
            solver="eigen", shrinkage="auto", n_components=limit
        ).fit(z[~held_out] - mean, codes[~held_out])
        basis = discriminants.scalings_[:, :limit]

        projected, codes = (z[held_out] - mean) @ basis, codes[held_out]
        own, other = _partners(codes, rng)
        distances = np.concatenate(
            [cosine_distance(projected, projected[partner]) for partner in (own, other)]
        )
        same = np.repeat([True, False], len(codes))
        false_match, match, thresholds = roc_curve(same, -distances)
        equal = np.argmin(np.abs(false_match - (1 - match)))
        rate = (false_match[equal] + 1 - match[equal]) / 2
        return cls(mean, basis, float(-thresholds[equal]), float(rate))

    def distance(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        """Cosine distance (N,), in [0, 2], of matching normalised codes (N, D)."""
        return cosine_distance(
            (np.asarray(first, np.float64) - self.mean) @ self.basis,
            (np.asarray(second, np.float64) - self.mean) @ self.basis,
        )


def _partners(codes: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """For each face the row of another face of its person, and of a face of someone else."""
    own, other = np.empty_like(codes), np.empty_like(codes)
    for row, code in enumerate(codes):
        is_own = codes == code
        other[row] = rng.choice(np.flatnonzero(~is_own))
        is_own[row] = False
        own[row] = rng.choice(np.flatnonzero(is_own))
    return own, other
