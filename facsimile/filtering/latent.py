"""Distance of a code from the codes of real faces."""

from typing import Self

import numpy as np
from sklearn.covariance import LedoitWolf
from sklearn.model_selection import GroupKFold

_BATCH = 4096  # bounds the memory of codes in double precision


class LatentDistance:
    """Mahalanobis distance from real faces with the shrunk covariance of Ledoit and Wolf (2004).

    Args:
        quantile: quantile of the real faces' distances that becomes the limit, in [0, 1].

    Attributes:
        covariance_: model fitted on all real faces.
        limit_: that quantile, with each real face measured by a model that was fitted without its
            person. Distances of faces used in the fit would be too small.
    """

    def __init__(self, quantile: float = 0.99) -> None:
        self.quantile = quantile

    def fit(self, z: np.ndarray, subjects: np.ndarray) -> Self:
        """Fit on codes (M, D) of real faces and their M subject ids."""
        z = np.asarray(z, np.float64)
        held_out = np.empty(len(z))
        folds = min(5, len(np.unique(subjects)))
        for train, test in GroupKFold(folds).split(z, groups=subjects):
            held_out[test] = LedoitWolf().fit(z[train]).mahalanobis(z[test])
        self.covariance_ = LedoitWolf().fit(z)
        self.limit_ = float(np.sqrt(np.quantile(held_out, self.quantile)))
        return self

    def predict(self, z: np.ndarray) -> np.ndarray:
        """Distances (N,) of codes (N, D)."""
        squares = [
            self.covariance_.mahalanobis(np.asarray(z[start : start + _BATCH], np.float64))
            for start in range(0, len(z), _BATCH)
        ]
        return np.sqrt(np.concatenate(squares))
