"""Linear readouts of nuisance attributes from semantic codes, to see whether edits change them."""

from typing import Self

import numpy as np

from facsimile.editing.regression import ridge_readouts


class NuisanceReadouts:
    """Ridge readouts of the nuisances, in units of their spread over faces.

    They are fitted on codes with nuisance labels and differ from the directions that edits are
    projected off, which are normals of linear SVMs where labels are binary.

    Args:
        alpha: ridge penalty.

    Attributes:
        vectors_: a change of z by dz changes the readings by ``dz @ vectors_.T``, (4, D); NaN for
            nuisances without labels.
    """

    vectors_: np.ndarray

    def __init__(self, alpha: float = 10.0) -> None:
        self.alpha = alpha

    def fit(self, z: np.ndarray, nuisances: np.ndarray) -> Self:
        """Fit on N faces of many people.

        Args:
            z: normalised codes (N, D).
            nuisances: labels (N, 4) in [0, 1], NaN = not annotated.
        """
        z = np.asarray(z, np.float64)
        vectors, _ = ridge_readouts(z, np.asarray(nuisances, np.float64), self.alpha)
        spread = (z @ vectors.T).std(axis=0)
        known = spread > 0
        self.vectors_ = np.full_like(vectors, np.nan)
        self.vectors_[known] = vectors[known] / spread[known, None]
        return self

    def predict(self, z: np.ndarray) -> np.ndarray:
        """Readings (N, 4) of codes (N, D), up to a constant; only differences have a meaning."""
        return np.asarray(z, np.float64) @ self.vectors_.T
