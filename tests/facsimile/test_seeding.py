"""Random draws of a sample do not depend on order, batch or other samples."""

import numpy as np
import torch

from facsimile.seeding import sample_noise, sample_rng, sample_seed


def test_seed_is_the_start_of_sha256():
    # sha256(b"0\0world-disfa/SN001/000123") starts with 1a ea d7 e9 d2 97 1f 13 (little-endian).
    assert sample_seed(0, "world-disfa/SN001/000123") == 0x131F97D2E9D7EA1A >> 1


def test_seed_separates_seed_and_id():
    assert len({sample_seed(1, "2"), sample_seed(12, ""), sample_seed(2, "1")}) == 3


def test_noise_does_not_depend_on_the_batch():
    together = sample_noise(3, ["a", "b", "c"], (2, 4))
    alone = torch.cat([sample_noise(3, [name], (2, 4)) for name in ("c", "a", "b")])
    assert torch.equal(together, alone[[1, 2, 0]])


def test_noise_is_standard_normal():
    noise = sample_noise(0, [str(k) for k in range(500)], (50,))
    assert noise.dtype == torch.float32
    assert abs(noise.mean()) < 0.03
    assert abs(noise.std() - 1) < 0.03


def test_noise_of_no_samples_is_empty():
    assert sample_noise(0, [], (3, 8, 8)).shape == (0, 3, 8, 8)


def test_rng_is_reproducible():
    assert np.array_equal(sample_rng(5, "x").random(4), sample_rng(5, "x").random(4))
    assert not np.array_equal(sample_rng(5, "x").random(4), sample_rng(6, "x").random(4))
