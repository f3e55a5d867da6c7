"""Losses, schedules and optimisation steps."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from facsimile.generator import DiffAEUNet, LatentNet, LatentNetConfig, UNetConfig, diffusion
from facsimile.generator.evaluation import fidelity, frechet_distance
from facsimile.pretraining.draws import TrainingDraws
from facsimile.pretraining.trainer import (
    AutoencoderLoss,
    LatentLoss,
    OptimizerSettings,
    PrincipalCodes,
    Trainer,
    WarmStartLoss,
    detailed_square,
    face_weights,
    learning_rate_factor,
)

pytestmark = pytest.mark.slow


def test_learning_rate_rises_linearly_and_falls_along_a_cosine():
    settings = OptimizerSettings(steps=110, learning_rate=1, warmup_steps=10)
    factors = [learning_rate_factor(step, settings) for step in (0, 4, 9, 10, 60, 110)]
    assert factors == pytest.approx([0.1, 0.5, 1, 1, 0.5, 0])


@pytest.mark.parametrize("prediction", ["epsilon", "sample"])
def test_untrained_autoencoder_loss_has_its_expected_value(prediction):
    # The output layer starts at zero, so the error is eps, or x0 minus its estimate from x_t.
    config = UNetConfig(16, 32, (1, 2), (1, 2), 1, (8,), 8, 0.0, prediction=prediction)
    loss = AutoencoderLoss(DiffAEUNet(config), torch.ones(1, 1, 16, 16), dtype=torch.float32)
    images = torch.full((2, 3, 16, 16), 0.5)
    eps = torch.stack([torch.full((3, 16, 16), 2.0), torch.full((3, 16, 16), 3.0)])
    timesteps = torch.tensor([0, 999])
    expected = (4 + 9) / 2
    if prediction == "sample":
        a = diffusion.image_scheduler().alphas_cumprod[timesteps]
        x0 = 0.5 + ((1 - a) / a).sqrt() * torch.tensor([2.0, 3])  # x_t / sqrt(alpha_bar)
        share = 0.03**2 / (0.03**2 + (1 - a) / a)
        importance = torch.stack([torch.tensor(5.0), 1 / (1 - a[1])])
        expected = (importance * (share * x0 - 0.5).square()).mean().item()
    assert loss(images, timesteps, eps).item() == pytest.approx(expected, rel=1e-5)


def test_detail_weights_the_differences_to_the_next_row_and_column():
    error = torch.tensor([[1.0, 3.0], [1.0, 0.0]])[None, None]
    squares = torch.tensor([[1.0, 9.0], [1.0, 0.0]])
    down = torch.tensor([[0.0, 9.0], [0.0, 0.0]])
    right = torch.tensor([[4.0, 0.0], [1.0, 0.0]])
    assert torch.equal(detailed_square(error, 0.0)[0, 0], squares)
    assert torch.equal(detailed_square(error, 0.5)[0, 0], squares + 0.5 * (down + right))


def test_face_weights_average_one_and_peak_on_brows_and_mouth():
    weights = face_weights(64, 8.0, eye_row=0.5, eye_distance=0.25)
    assert weights.shape == (1, 1, 64, 64)
    assert weights.mean().item() == pytest.approx(1)
    mouth = (slice(48, 55), slice(31, 33))
    left, right = (slice(24, 32), slice(20, 25)), (slice(24, 32), slice(39, 44))
    cheek, background = (slice(38, 41), slice(16, 20)), (slice(0, 64), slice(0, 8))
    for moving in (mouth, left, right):
        for still in (cheek, background):
            assert weights[0, 0][moving].min() > 3 * weights[0, 0][still].max()


def test_pixel_weights_are_1_without_face_weight():
    weights = face_weights(8, 0.0, eye_row=0.37, eye_distance=0.29)
    assert torch.equal(weights, torch.ones(1, 1, 8, 8))


def test_principal_codes_are_white_and_rank_directions_by_variance():
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(400, 3, 4, 4, generator=generator)
    noise[:, 0, 1, 2] *= 30
    noise[:, 2, 3, 3] *= 10
    codes = PrincipalCodes(noise, 2, torch.ones(1, 1, 4, 4), seed=0)
    z = codes(noise)
    assert torch.allclose(z.T @ z / 399, torch.eye(2), atol=1e-3)
    pixels = torch.stack([noise[:, 0, 1, 2], noise[:, 2, 3, 3]])
    for code, pixel in zip(z.T, pixels, strict=True):
        assert abs(torch.corrcoef(torch.stack([code, pixel]))[0, 1]) > 0.99


def test_warm_start_learns_the_codes():
    torch.manual_seed(0)
    config = UNetConfig(16, 32, (1, 2), (1, 2), 1, (), 4, 0.0, encoder_pool="flatten")
    images = torch.rand(128, 3, 16, 16) * torch.linspace(-1, 1, 128)[:, None, None, None]
    codes = PrincipalCodes(images, 4, face_weights(16, 4.0, 0.37, 0.29), seed=0)
    encoder = DiffAEUNet(config).encoder
    loss = WarmStartLoss(encoder, codes, dtype=torch.float32)
    trainer = Trainer(encoder, loss, OptimizerSettings(60, 1e-3, warmup_steps=5))
    before = loss(images).item()
    for _ in range(60):
        trainer.step(images)
    assert loss(images).item() < 0.5 * before


class Hundredfold(nn.Sequential):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return 100 * super().forward(x).sum()


def test_step_clips_and_averages_weights():
    layer = nn.Linear(1, 1, bias=False)
    nn.init.ones_(layer.weight)
    settings = OptimizerSettings(1000, 0.1, warmup_steps=1, ema_decay=0.9)
    trainer = Trainer(layer, Hundredfold(layer), settings)
    trainer.step(torch.ones(1, 1))
    # Adam's first step is the learning rate whatever the gradient; decay starts at 2/11.
    assert layer.weight.item() == pytest.approx(0.9, abs=1e-4)
    assert trainer.ema.weight.item() == pytest.approx(1 - 0.1 * 9 / 11, abs=1e-4)


class Square(nn.Module):
    """Mean square of a network's output."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        return self.net(z, torch.zeros(len(z))).square().mean()


def square_trainer(accumulate: int = 1) -> Trainer:
    torch.manual_seed(0)
    net = LatentNet(LatentNetConfig(16, 3, 8), 4)
    settings = OptimizerSettings(10, 1e-2, warmup_steps=2)
    return Trainer(net, Square(net), settings, accumulate)


def test_a_resumed_run_equals_an_uninterrupted_one():
    z = torch.randn(8, 4)
    whole = square_trainer()
    for _ in range(6):
        whole.step(z)
    first = square_trainer()
    for _ in range(3):
        first.step(z)
    second = square_trainer()
    second.load_state_dict(first.state_dict())
    for _ in range(3):
        second.step(z)
    for a, b in zip(whole.ema.parameters(), second.ema.parameters(), strict=True):
        assert torch.equal(a, b)


def test_gradient_accumulation_does_not_change_the_update():
    batches = torch.randn(5, 8, 4, generator=torch.Generator().manual_seed(0))
    at_once, in_parts = square_trainer(), square_trainer(accumulate=4)
    for z in batches:
        torch.testing.assert_close(at_once.step(z), in_parts.step(z), rtol=1e-5, atol=0)
    for a, b in zip(at_once.ema.parameters(), in_parts.ema.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-5)


def test_the_prior_learns_a_point():
    # All codes are equal, so the ideal eps is a function of z_t and far better than predicting 0.
    torch.manual_seed(0)
    net = LatentNet(LatentNetConfig(32, 4, 16), 4)
    trainer = Trainer(net, LatentLoss(net), OptimizerSettings(300, 3e-3, warmup_steps=10))
    z = torch.ones(64, 4)
    draws = TrainingDraws(0, "prior", 64, 64)
    losses = [
        trainer.step(z, draws.timesteps(step), draws.noise(step, slice(None), (4,))).item()
        for step in range(300)
    ]
    assert losses[0] > 0.7
    assert np.mean(losses[-30:]) < 0.5 * math.sqrt(2 / math.pi)


def test_frechet_distance_of_known_gaussians():
    rng = np.random.default_rng(0)
    a = rng.normal(size=(50_000, 3))
    b = 2 * rng.normal(size=(50_000, 3)) + np.array([3.0, 0, 0])
    # |m1 - m2|² + sum (s1 - s2)² = 9 + 3
    assert frechet_distance(a, b) == pytest.approx(12, rel=0.02)
    assert frechet_distance(a, a) == pytest.approx(0, abs=1e-9)


def test_fidelity_of_a_constant_offset():
    images = torch.rand(2, 3, 16, 16) - 0.5
    ssim, psnr = fidelity(images, images + 0.02)
    # 10 log10(range² / mse) = 10 log10(4 / 0.0004)
    assert psnr == pytest.approx(40, abs=1e-3)
    assert 0.99 < ssim < 1
    assert fidelity(images, images)[0] == pytest.approx(1)
