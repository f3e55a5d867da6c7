"""Random draws that belong to a sample: batch size, shard and worker count do not matter."""

import hashlib
from collections.abc import Sequence

import numpy as np
import torch


def sample_seed(seed: int, sample_id: str) -> int:
    """63-bit seed of one sample: the first bytes of SHA-256(seed, sample_id)."""
    digest = hashlib.sha256(f"{seed}\0{sample_id}".encode()).digest()
    return int.from_bytes(digest[:8], "little") >> 1


def sample_rng(seed: int, sample_id: str) -> np.random.Generator:
    """NumPy generator of one sample."""
    return np.random.default_rng(sample_seed(seed, sample_id))


def sample_noise(seed: int, sample_ids: Sequence[str], shape: Sequence[int]) -> torch.Tensor:
    """Standard normal noise, one independent stream per sample.

    Drawn on the CPU whatever the compute device, because CUDA streams differ.

    Args:
        seed: seed of the stage.
        sample_ids: N ids.
        shape: shape of one sample's noise.

    Returns:
        float32 tensor (N, *shape).
    """
    rows = []
    for sample_id in sample_ids:
        generator = torch.Generator().manual_seed(sample_seed(seed, sample_id))
        rows.append(torch.randn(*shape, generator=generator))
    return torch.stack(rows) if rows else torch.empty(0, *shape)
