"""Stochastic codes x_T of people who do not exist."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from facsimile.errors import FacsimileError
from facsimile.seeding import sample_noise


@dataclass(frozen=True)
class NoiseModel:
    """The normal distribution that the x_T of real faces have.

    A perfect decoder would invert faces to x_T ~ N(0, I). A real one finds less in them, fine
    detail above all (a standard deviation of 0.6 for the generator of the embedded world), and
    leaves grain on faces decoded from white noise. So noise is drawn as it is found: with mean and
    covariance of inverted faces, ``x_T = m + Σ_i a_i (x_i − m) / √(M − 1)``, a_i ~ N(0, 1).

    Attributes:
        mean: m, (3, H, W).
        factors: (x_i − m) / √(M − 1), (M, 3, H, W).
    """

    mean: Tensor
    factors: Tensor

    @classmethod
    def fit(cls, x_t: Tensor) -> "NoiseModel":
        """Fit on the x_T of M real faces, (M, 3, H, W). Raises FacsimileError if M < 2."""
        if len(x_t) < 2:
            raise FacsimileError(
                f"{len(x_t)} inverted face(s): the x_T of new people need at least 2"
            )
        mean = x_t.mean(0)
        return cls(mean, (x_t - mean) / (len(x_t) - 1) ** 0.5)

    def sample(self, identities: Sequence[str], seeds: Sequence[int]) -> Tensor:
        """x_T (N, 3, H, W) of N identities; equal for equal identity and seed."""
        weights = torch.cat(
            [
                sample_noise(int(seed), [f"{name}/x_t"], (len(self.factors),))
                for name, seed in zip(identities, seeds, strict=True)
            ]
        ).to(self.mean)
        return self.mean + torch.tensordot(weights, self.factors, dims=1)
