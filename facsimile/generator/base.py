"""The interface of all face generators, and their latent codes.

Code outside this package uses only `Generator` and `Codes`. Solver, steps and precision are fixed
when a generator is loaded.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from facsimile.errors import FacsimileError

CONFIG_FILE = "config.json"
WEIGHTS_FILE = "generator.safetensors"
"""Files in the folder of every generator; its digest is the MD5 of the weights."""


@dataclass(frozen=True)
class Codes:
    """Codes of N faces.

    Attributes:
        z: semantic codes (N, D) float32, normalised: zero mean and unit variance over the faces
            that the generator was trained on.
        x_t: what `Generator.decode` needs in addition to z, such as the x_T of a diffusion model,
            (N, 3, H, W) with H = W; None if the generator has no x_T or it was not computed.
        raw: z before normalisation, as the encoder returned it; None for stored or edited codes.
            Used only inside generators, because denormalising z restores it only up to rounding.
    """

    z: Tensor
    x_t: Tensor | None = None
    raw: Tensor | None = None

    def __len__(self) -> int:
        return len(self.z)

    def __getitem__(self, rows: slice | Sequence[int] | np.ndarray | Tensor) -> "Codes":
        return Codes(*(None if part is None else part[rows] for part in self._parts()))

    def to(self, device: torch.device | str) -> "Codes":
        """The same codes on another device."""
        return Codes(*(None if part is None else part.to(device) for part in self._parts()))

    def replace_z(self, z: Tensor) -> "Codes":
        """Other semantic codes (N, D) with the same x_T."""
        return replace(self, z=z, raw=None)

    @classmethod
    def concatenate(cls, parts: Sequence["Codes"]) -> "Codes":
        """Codes of all faces of several batches, without `raw`. All or none have an x_T."""
        z = torch.cat([part.z for part in parts])
        return cls(z, None if parts[0].x_t is None else torch.cat([part.x_t for part in parts]))

    def _parts(self) -> tuple[Tensor | None, ...]:
        return self.z, self.x_t, self.raw

    @classmethod
    def from_table(cls, rows: pd.DataFrame, z: str = "z") -> "Codes":
        """Codes in the columns of a table, on the CPU.

        Args:
            rows: column `z` and optionally column ``x_t``, with one vector per row.
            z: name of the column of semantic codes.

        Raises:
            FacsimileError: only some of the rows have an x_T.
        """
        codes = cls(_stacked(rows[z]))
        missing = rows["x_t"].isna() if "x_t" in rows else pd.Series(True, index=rows.index)
        if missing.all():
            return codes
        if missing.any():
            raise FacsimileError(f"{missing.sum()} of {len(rows)} codes have no x_T")
        x_t = _stacked(rows["x_t"])
        side = math.isqrt(x_t.shape[1] // 3)
        return replace(codes, x_t=x_t.reshape(-1, 3, side, side))

    def to_columns(self) -> dict[str, list[np.ndarray]]:
        """Columns ``z`` (float32) and, if there is an x_T, ``x_t`` (float16, flattened)."""
        columns = {"z": list(self.z.cpu().numpy())}
        if self.x_t is not None:
            columns["x_t"] = list(self.x_t.half().cpu().flatten(1).numpy())
        return columns


def _stacked(column: pd.Series) -> Tensor:
    """A column of N vectors as one float32 tensor (N, D)."""
    return torch.from_numpy(np.stack(column.to_numpy()).astype(np.float32))


@dataclass(frozen=True)
class InferenceOptions:
    """Settings of inference. Generators ignore those that do not apply to them.

    Attributes:
        solver: "ddim", as in the reference, or "dpm++", which needs a tenth of the steps.
        steps: number of solver steps for inversion and for decoding.
        prior_steps: number of steps for sampling new codes.
        dtype: compute type of the networks; diffusion arithmetic stays float32.
        compile: compile the networks on their first batch, which takes a minute or more.
    """

    solver: str = "ddim"
    steps: int = 100
    prior_steps: int = 100
    dtype: torch.dtype = torch.float32
    compile: bool = False


REFERENCE_OPTIONS = InferenceOptions()


class Generator(Protocol):
    """A pretrained face generator, loaded and ready for inference.

    Images are float32 (N, 3, H, W) in [-1, 1] with H = W = `image_size`. Only `sample` is random;
    each draw is seeded by the id of its sample.

    Attributes:
        image_size: H = W, pixels.
        z_dim: D, dimensions of a semantic code.
        digest: MD5 of the weights, recorded with every generated face.
        device: device of the networks; inputs are moved to it.
    """

    image_size: int
    z_dim: int
    digest: str
    device: torch.device

    def encode(self, images: Tensor) -> Codes:
        """Semantic codes of images, without x_T."""
        ...

    def invert(self, images: Tensor, codes: Codes) -> Codes:
        """The same codes with the x_T from which `decode` reconstructs the images.

        A generator without x_T returns the codes unchanged.
        """
        ...

    def decode(self, codes: Codes) -> Tensor:
        """Images of codes. Raises FacsimileError if an x_T is needed and missing."""
        ...

    def sample(self, ids: Sequence[str], seed: int) -> Codes:
        """Codes of new faces, without x_T. Raises FacsimileError if there is no prior."""
        ...
