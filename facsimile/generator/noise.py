"""Draw stochastic codes x_T for new people."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Self

import torch
from torch import Tensor

from facsimile.errors import FacsimileError
from facsimile.generator.base import Codes
from facsimile.seeding import sample_noise


class NoiseModel:
    """A normal distribution with the mean and covariance of the x_T of real faces.

    An ideal decoder would invert faces to x_T ~ N(0, I). In practice inverted noise has a smaller
    variance, especially in fine detail (a standard deviation of 0.6 for the generator of the
    embedded world), and faces decoded from white noise look grainy. So noise is drawn from the
    distribution of inverted faces: ``x_T = m + Σ_i a_i (x_i − m) / √(M − 1)``, a_i ~ N(0, 1).

    Attributes:
        mean_: m, (3, H, W); None for a generator without x_T.
        factors_: (x_i − m) / √(M − 1), (M, 3, H, W); None for a generator without x_T.
    """

    mean_: Tensor | None
    factors_: Tensor | None

    def fit(self, codes: Codes) -> Self:
        """Fit on the codes of M real faces. Raises FacsimileError if there is only one x_T."""
        x_t = codes.x_t
        if x_t is None:
            self.mean_ = self.factors_ = None
            return self
        if len(x_t) < 2:
            raise FacsimileError(
                f"{len(x_t)} inverted face(s): drawing x_T for new people needs at least 2"
            )
        self.mean_ = x_t.mean(0)
        self.factors_ = (x_t - self.mean_) / (len(x_t) - 1) ** 0.5
        return self

    def complete(self, codes: Codes, identities: Sequence[str], seeds: Sequence[int]) -> Codes:
        """Add an x_T to each code. Codes of a generator without x_T are returned unchanged.

        Args:
            codes: N codes.
            identities, seeds: N each; equal identity and seed give equal x_T.
        """
        if self.mean_ is None:
            return codes
        weights = torch.cat(
            [
                sample_noise(int(seed), [f"{name}/x_t"], (len(self.factors_),))
                for name, seed in zip(identities, seeds, strict=True)
            ]
        ).to(self.mean_)
        return replace(codes, x_t=self.mean_ + torch.tensordot(weights, self.factors_, dims=1))
