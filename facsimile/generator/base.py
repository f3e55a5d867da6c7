"""What every face generator can do, and the codes that it works with.

Everything outside this package knows a generator as `Generator` and faces in its latent space as
`Codes`. Solver, steps and precision are fixed when a generator is loaded.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import torch
from torch import Tensor


@dataclass(frozen=True)
class Codes:
    """Codes of N faces.

    Attributes:
        z: semantic codes (N, D) float32, normalised: zero mean and unit variance over the faces
            that the generator was trained on.
        x_t: what else decoding a face takes, (N, 3, H, W); None if the generator has no such thing
            or it was not asked for.
    """

    z: Tensor
    x_t: Tensor | None = None

    def __len__(self) -> int:
        return len(self.z)

    def __getitem__(self, rows: slice | Sequence[int] | Tensor) -> "Codes":
        return Codes(self.z[rows], None if self.x_t is None else self.x_t[rows])

    def to(self, device: torch.device | str) -> "Codes":
        """The same codes on another device."""
        return Codes(self.z.to(device), None if self.x_t is None else self.x_t.to(device))

    def replace_z(self, z: Tensor) -> "Codes":
        """Other semantic codes (N, D) with the same x_T."""
        return replace(self, z=z)


class Generator(Protocol):
    """A pretrained face generator, loaded and ready for inference.

    Images are float32 (N, 3, H, W) in [-1, 1] with H = W = `image_size`. Nothing but `sample`
    draws at random, and its draws belong to the ids of the samples.

    Attributes:
        image_size: H = W, pixels.
        z_dim: D, dimensions of a semantic code.
        digest: MD5 of the weights, the provenance of every face made with them.
        device: where it computes; inputs from elsewhere are moved there.
    """

    image_size: int
    z_dim: int
    digest: str
    device: torch.device

    def encode(self, images: Tensor) -> Codes:
        """Semantic codes of images, without x_T."""
        ...

    def invert(self, images: Tensor, codes: Codes) -> Codes:
        """The codes of these images with the x_T from which `decode` gives the images back."""
        ...

    def decode(self, codes: Codes) -> Tensor:
        """Images of codes. Raises FacsimileError where an x_T is needed and there is none."""
        ...

    def sample(self, ids: Sequence[str], seed: int) -> Codes:
        """Codes of new faces, without x_T. Raises FacsimileError if it cannot make any."""
        ...
