"""Learning curves: how much more real data would reach a score.

Source: "Controlled Face Manipulation and Synthesis for Data Augmentation", IV-C and Fig. 7, which
fits a power law with offset, POW3 (Domhan et al., "Speeding up Automatic Hyperparameter
Optimization of Deep Neural Networks by Extrapolation of Learning Curves", IJCAI 2015).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import least_squares

from facsimile.errors import FacsimileError

_MIN_SIZES = 3  # as many as the curve has parameters
_EXPONENTS = (1e-6, 10.0)  # keeps sizes raised to the exponent finite


@dataclass(frozen=True)
class Pow3:
    """f(n) = a − b·n^(−c), a score that grows with the number n of training faces.

    Attributes:
        a: score that the curve approaches, at most 1.
        b: how far a single face falls short of it, at least 0.
        c: exponent, above 0. All three are NaN if the curve could not be fitted.
    """

    a: float
    b: float
    c: float

    def predict(self, n: ArrayLike) -> np.ndarray:
        """Scores of an array of sizes, in its shape."""
        return self.a - self.b * np.asarray(n, np.float64) ** -self.c

    def size_for(self, score: float) -> float:
        """Number of faces at which the curve reaches a score; infinite if it never does."""
        if np.isnan([self.a, self.b, self.c, score]).any():
            return float("nan")
        if score >= self.a:
            return float("inf")
        with np.errstate(over="ignore"):
            return float(np.float64(self.b / (self.a - score)) ** (1 / self.c))


def fit_pow3(sizes: ArrayLike, scores: ArrayLike) -> Pow3:
    """Fit the curve by least squares, all points with the same weight.

    Args:
        sizes: numbers of training faces (M,).
        scores: scores (M,), at most 1. Points without a score (NaN) are ignored.

    Returns:
        The curve; NaN if fewer than three different sizes have a score, or if the fit does not
        converge.

    Raises:
        FacsimileError: a size is not positive, or there are not as many scores as sizes.
    """
    sizes, scores = np.asarray(sizes, np.float64), np.asarray(scores, np.float64)
    if sizes.shape != scores.shape:
        raise FacsimileError(f"learning curve: {sizes.size} sizes, {scores.size} scores")
    if not (sizes > 0).all():
        raise FacsimileError(f"learning curve: size {sizes.min():g} is not positive")
    sizes, scores = sizes[~np.isnan(scores)], scores[~np.isnan(scores)]
    if len(np.unique(sizes)) < _MIN_SIZES:
        return Pow3(np.nan, np.nan, np.nan)
    # In units of the smallest size, b is as large as the scores, and not some power of the sizes.
    unit = sizes.min()
    fitted = least_squares(
        lambda curve: Pow3(*curve).predict(sizes / unit) - scores,
        x0=(min(scores.max(), 1.0), max(np.ptp(scores), 0.01), 0.5),
        bounds=([-np.inf, 0.0, _EXPONENTS[0]], [1.0, np.inf, _EXPONENTS[1]]),
        x_scale=(0.1, 0.1, 0.5),
        ftol=1e-12,
        xtol=1e-12,
        gtol=1e-12,
        max_nfev=5000,
    )
    if not fitted.success:
        return Pow3(np.nan, np.nan, np.nan)
    a, b, c = fitted.x
    return Pow3(float(a), float(b * unit**c), float(c))


def data_multiple(
    sizes: Sequence[float],
    scores_per_repeat: Sequence[ArrayLike],
    reference_scores: ArrayLike,
    base_size: float,
    *,
    seed: int,
    draws: int = 500,
) -> tuple[float, float, float]:
    """How many times the base size the learning curve needs to reach a reference.

    The curve is fitted to the mean score at each size. The reference is a mean over repeats as
    well, in the source of detectors that were also trained on generated faces.

    Args:
        sizes: numbers of training faces (M,).
        scores_per_repeat: for each size, the scores of its repeats.
        reference_scores: scores of the repeats of the reference.
        base_size: size to which the result is relative.
        seed: seed of the bootstrap.
        draws: resamples of the repeats of each size and of the reference.

    Returns:
        The multiple and its 95 % percentile interval. Infinite where the curve never reaches the
        reference. NaN if the curve cannot be fitted; in the interval, such resamples are ignored.

    Raises:
        FacsimileError: see `fit_pow3`.
    """
    repeats = [np.asarray(scores, np.float64) for scores in scores_per_repeat]
    reference = np.asarray(reference_scores, np.float64)

    def multiple(repeats: Sequence[np.ndarray], reference: np.ndarray) -> float:
        curve = fit_pow3(sizes, [scores.mean() for scores in repeats])
        return curve.size_for(reference.mean()) / base_size

    rng = np.random.default_rng(seed)
    values = np.array(
        [
            multiple(
                [rng.choice(scores, len(scores)) for scores in repeats],
                rng.choice(reference, len(reference)),
            )
            for _ in range(draws)
        ]
    )
    values = values[~np.isnan(values)]
    if not values.size:
        return multiple(repeats, reference), float("nan"), float("nan")
    # Interpolated quantiles would be NaN between infinite values.
    low, high = (
        np.quantile(values, 0.025, method="lower"),
        np.quantile(values, 0.975, method="higher"),
    )
    return multiple(repeats, reference), float(low), float(high)
