"""Random draws of training: functions of seed, phase, step and position in the batch only.

They do not depend on earlier draws, so a run can resume at any step with the same results. A batch
has the same faces and noise however it is divided among ranks and accumulation steps.
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
        seed: seed of the training.
        phase: name of the phase; phases draw independently.
        faces: number of faces to draw from.
        batch_size: number of faces per step over all ranks.
    """

    seed: int
    phase: str
    faces: int
    batch_size: int

    def rows(self, step: int) -> np.ndarray:
        """Indices of the faces of a step, (batch_size,) in 0…faces-1; reshuffled each epoch."""
        positions = step * self.batch_size + np.arange(self.batch_size)
        epochs = positions // self.faces
        return np.concatenate(
            [
                _epoch(self.seed, self.phase, epoch, self.faces)[
                    positions[epochs == epoch] % self.faces
                ]
                for epoch in range(epochs[0], epochs[-1] + 1)
            ]
        )

    def mirrored(self, step: int) -> np.ndarray:
        """Which faces of a step are mirrored, bool (batch_size,); each with probability ½."""
        return sample_rng(self.seed, f"{self.phase}/mirror/{step}").random(self.batch_size) < 0.5

    def timesteps(self, step: int, skew: float = 0.0) -> Tensor:
        """Timesteps of a step's faces (batch_size,), see `stratified_timesteps`."""
        rng = sample_rng(self.seed, f"{self.phase}/timesteps/{step}")
        return stratified_timesteps(self.batch_size, skew, rng)

    def noise(
        self, step: int, share: slice, shape: Sequence[int], device: torch.device | str = "cpu"
    ) -> Tensor:
        """Standard normal noise (N, *shape) for a part of a batch, drawn on `device` for speed.

        Args:
            step: number of the update.
            share: N positions in the batch.
            shape: shape of the noise of one face.
            device: device of the result; the values differ between types of device.
        """
        generator = torch.Generator(device)
        rows = []
        for position in range(self.batch_size)[share]:
            generator.manual_seed(sample_seed(self.seed, f"{self.phase}/noise/{step}/{position}"))
            rows.append(torch.randn(*shape, generator=generator, device=device))
        return torch.stack(rows)


@lru_cache(maxsize=2)
def _epoch(seed: int, phase: str, epoch: int, faces: int) -> np.ndarray:
    return sample_rng(seed, f"{phase}/order/{epoch}").permutation(faces)


def stratified_timesteps(count: int, skew: float, rng: np.random.Generator) -> Tensor:
    """Timesteps (count,) in 0…999 with density proportional to t^skew, spread evenly over a batch.

    skew = 0 is uniform. A positive skew favours noisy images, whose content the decoder can only
    get from z_sem, so the encoder learns faster. One draw per equal-probability stratum, in random
    order, lowers the variance of the gradient.
    """
    strata = (rng.permutation(count) + rng.random(count)) / count
    return torch.from_numpy((strata ** (1 / (1 + skew)) * diffusion.TIMESTEPS).astype(np.int64))
