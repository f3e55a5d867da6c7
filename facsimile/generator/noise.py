"""Stochastic codes x_T of people who do not exist."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from facsimile.errors import FacsimileError
from facsimile.generator.base import Codes
from facsimile.seeding import sample_noise


@dataclass(frozen=True)
class NoiseModel:
    """A normal distribution with the mean and covariance of the x_T of real faces.

    A perfect decoder would invert faces to x_T ~ N(0, I). A real one finds less in them, fine
    detail above all (a standard deviation of 0.6 for the generator of the embedded world), and
    leaves grain on faces decoded from white noise. So noise is drawn as inversion finds it:
    ``x_T = m + Σ_i a_i (x_i − m) / √(M − 1)``, a_i ~ N(0, 1).

    Attributes:
        mean: m, (3, H, W); None for a generator without x_T.
        factors: (x_i − m) / √(M − 1), (M, 3, H, W); None for a generator without x_T.
    """

    mean: Tensor | None
    factors: Tensor | None

    @classmethod
    def fit(cls, codes: Codes) -> "NoiseModel":
        """Fit on the codes of M real faces. Raises FacsimileError if M < 2 have an x_T."""
        x_t = codes.x_t
        if x_t is None:
            return cls(None, None)
        if len(x_t) < 2:
            raise FacsimileError(
                f"{len(x_t)} inverted face(s): the x_T of new people need at least 2"
            )
        mean = x_t.mean(0)
        return cls(mean, (x_t - mean) / (len(x_t) - 1) ** 0.5)

    def complete(self, codes: Codes, identities: Sequence[str], seeds: Sequence[int]) -> Codes:
        """Codes of N faces with an x_T drawn for each; unchanged for a generator without x_T.

        Args:
            codes: N codes.
            identities, seeds: of each face; x_T are equal for equal identity and seed.
        """
        if self.mean is None:
            return codes
        weights = torch.cat(
            [
                sample_noise(int(seed), [f"{name}/x_t"], (len(self.factors),))
                for name, seed in zip(identities, seeds, strict=True)
            ]
        ).to(self.mean)
        return replace(codes, x_t=self.mean + torch.tensordot(weights, self.factors, dims=1))
