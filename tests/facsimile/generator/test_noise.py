"""x_T drawn from the distribution of inverted faces."""

import numpy as np
import pytest
import torch

from facsimile.errors import FacsimileError
from facsimile.generator import Codes, NoiseModel


def test_noise_has_the_mean_and_covariance_of_real_x_t():
    draws = torch.Generator().manual_seed(1)
    mixing = torch.randn(12, 12, generator=draws) / 4
    x_t = (torch.randn(400, 12, generator=draws) @ mixing + 0.5).reshape(400, 3, 2, 2)
    model = NoiseModel().fit(Codes(torch.zeros(400, 8), x_t))
    new = Codes(torch.randn(4000, 8, generator=draws))
    completed = model.complete(new, [f"synthetic/{k}" for k in range(4000)], [3] * 4000)
    drawn = completed.x_t
    assert torch.equal(completed.z, new.z)
    np.testing.assert_allclose(drawn.mean(0), x_t.mean(0), atol=0.08)
    flat = [torch.cov(noise.flatten(1).T) for noise in (drawn, x_t)]
    assert (flat[0] - flat[1]).norm() < 0.1 * flat[1].norm()
    again = model.complete(new[:2], ["synthetic/7", "synthetic/7"], [3, 4]).x_t
    assert torch.allclose(again[0], drawn[7], atol=1e-6) and not torch.equal(again[1], drawn[7])
    with pytest.raises(FacsimileError, match="1 inverted face"):
        NoiseModel().fit(Codes(torch.zeros(1, 8), x_t[:1]))


def test_a_generator_without_x_t_needs_no_noise():
    codes = Codes(torch.randn(3, 8))
    completed = NoiseModel().fit(codes).complete(codes, list("abc"), [0, 0, 0])
    assert completed.x_t is None and torch.equal(completed.z, codes.z)
