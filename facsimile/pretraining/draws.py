"""What training draws at random, each draw a function of seed, phase, step and place in the batch.

Not of what was drawn before: a run resumed at any step goes on as if it had never stopped, and
however a batch is divided among ranks and parts, its faces and their noise are the same.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from facsimile.generator import diffusion
from facsimile.seeding import sample_rng, sample_seed


@dataclass(frozen=True)
class TrainingDraws:
    """Draws of one phase of training.

    Args:
        seed: of the training.
        phase: its name; phases draw independently.
        faces: number of faces to draw from.
        batch_size: faces of a step, on all ranks together.
    """

    seed: int
    phase: str
    faces: int
    batch_size: int

    def rows(self, step: int) -> np.ndarray:
        """The faces of a step, (batch_size,) in 0…faces-1: endless epochs, each shuffled anew."""
        places = step * self.batch_size + np.arange(self.batch_size)
        epochs = places // self.faces
        return np.concatenate(
            [
                _epoch(self.seed, self.phase, epoch, self.faces)[
                    places[epochs == epoch] % self.faces
                ]
                for epoch in range(epochs[0], epochs[-1] + 1)
            ]
        )

    def mirrored(self, step: int) -> np.ndarray:
        """Which of them are mirrored, bool (batch_size,): half of them."""
        return sample_rng(self.seed, f"{self.phase}/mirror/{step}").random(self.batch_size) < 0.5

    def timesteps(self, step: int, skew: float = 0.0) -> Tensor:
        """Their timesteps (batch_size,), see `stratified_timesteps`."""
        rng = sample_rng(self.seed, f"{self.phase}/timesteps/{step}")
        return stratified_timesteps(self.batch_size, skew, rng)

    def noise(
        self, step: int, share: slice, shape: Sequence[int], device: torch.device | str = "cpu"
    ) -> Tensor:
        """Standard normal noise (N, *shape) of a share of them; drawn on `device`, as it is much.

        Args:
            step: number of the update.
            share: N places in the batch.
            shape: of one face's noise.
            device: of the result; other kinds of device draw other numbers.
        """
        generator = torch.Generator(device)
        rows = []
        for place in range(self.batch_size)[share]:
            generator.manual_seed(sample_seed(self.seed, f"{self.phase}/noise/{step}/{place}"))
            rows.append(torch.randn(*shape, generator=generator, device=device))
        return torch.stack(rows)


@lru_cache(maxsize=2)
def _epoch(seed: int, phase: str, epoch: int, faces: int) -> np.ndarray:
    return sample_rng(seed, f"{phase}/order/{epoch}").permutation(faces)


def stratified_timesteps(count: int, skew: float, rng: np.random.Generator) -> Tensor:
    """Timesteps (count,) in 0…999 with density proportional to t^skew, spread evenly over a batch.

    skew = 0 is uniform. A positive skew dwells on noisy images, whose content the decoder can only
    take from z_sem: the encoder learns faster. One draw per equal-probability stratum, in random
    order, lowers the variance of the gradient.
    """
    strata = (rng.permutation(count) + rng.random(count)) / count
    return torch.from_numpy((strata ** (1 / (1 + skew)) * diffusion.TIMESTEPS).astype(np.int64))
