"""Per-sample random draws, independent of batch size, shard and number of workers."""

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch


def sample_seed(seed: int, sample_id: str) -> int:
    """63-bit seed of a sample: the first bytes of SHA-256(seed, sample_id)."""
    digest = hashlib.sha256(f"{seed}\0{sample_id}".encode()).digest()
    return int.from_bytes(digest[:8], "little") >> 1


def sample_rng(seed: int, sample_id: str) -> np.random.Generator:
    """NumPy random generator of a sample."""
    return np.random.default_rng(sample_seed(seed, sample_id))


def sample_noise(seed: int, sample_ids: Sequence[str], shape: Sequence[int]) -> "torch.Tensor":
    """Standard normal noise from one independent stream per sample.

    Always drawn on the CPU, because CUDA random streams differ.

    Args:
        seed: seed of the stage.
        sample_ids: N ids.
        shape: shape of the noise of one sample.

    Returns:
        float32 tensor (N, *shape).
    """
    import torch  # only here: it takes seconds, and reading datasets does without it

    rows = []
    for sample_id in sample_ids:
        generator = torch.Generator().manual_seed(sample_seed(seed, sample_id))
        rows.append(torch.randn(*shape, generator=generator))
    return torch.stack(rows) if rows else torch.empty(0, *shape)
