"""Training of the Diffusion Autoencoder and of its latent prior, one optimisation step at a time.

Legend: x_t = sqrt(alpha_bar_t) x0 + sqrt(1 - alpha_bar_t) eps; nets predict eps or v.
The loops (progress, checkpoints, pictures) belong to the caller.
"""

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from facsimile.generator import diffusion
from facsimile.generator.latent_net import LatentNet
from facsimile.generator.unet import DiffAEUNet, SemanticEncoder


@dataclass(frozen=True)
class OptimizerSettings:
    """AdamW with linear warm-up and cosine decay to zero, gradient clipping and weight EMA."""

    steps: int
    learning_rate: float
    warmup_steps: int = 200
    weight_decay: float = 0.0
    ema_decay: float = 0.999
    clip_norm: float = 1.0


def learning_rate_factor(step: int, settings: OptimizerSettings) -> float:
    """Multiplier of the learning rate at an update: up linearly, down along a half cosine."""
    if step < settings.warmup_steps:
        return (step + 1) / settings.warmup_steps
    done = (step - settings.warmup_steps) / max(1, settings.steps - settings.warmup_steps)
    return 0.5 * (1 + math.cos(math.pi * min(1.0, done)))


class Trainer:
    """Optimiser, schedule and EMA around a differentiable loss.

    Args:
        model: network being trained.
        loss: maps a batch to a scalar; may be compiled, must use `model`.
        settings: optimiser settings.
    """

    def __init__(
        self, model: nn.Module, loss: Callable[..., Tensor], settings: OptimizerSettings
    ) -> None:
        self.model = model.train()
        self.loss = loss
        self.settings = settings
        self.step_count = 0
        self.ema = copy.deepcopy(model).eval().requires_grad_(False)
        self.optimizer = torch.optim.AdamW(
            model.parameters(), settings.learning_rate, weight_decay=settings.weight_decay
        )

    def step(self, *batch: Tensor) -> float:
        """One update on ``loss(*batch)``; returns the loss."""
        settings = self.settings
        for group in self.optimizer.param_groups:
            factor = learning_rate_factor(self.step_count, settings)
            group["lr"] = settings.learning_rate * factor
        loss = self.loss(*batch)
        loss.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), settings.clip_norm)
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.step_count += 1
        # A short average at first, so that the random start is forgotten.
        decay = min(settings.ema_decay, (1 + self.step_count) / (10 + self.step_count))
        with torch.no_grad():
            torch._foreach_lerp_(
                list(self.ema.parameters()), list(self.model.parameters()), 1 - decay
            )
        return loss.item()

    def state_dict(self) -> dict[str, Any]:
        """Everything needed to resume."""
        return {
            "model": self.model.state_dict(),
            "ema": self.ema.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "step_count": self.step_count,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.model.load_state_dict(state["model"])
        self.ema.load_state_dict(state["ema"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.step_count = state["step_count"]


def stratified_timesteps(count: int, skew: float) -> Tensor:
    """Timesteps (count,) in 0…999 with density proportional to t^skew, spread evenly over a batch.

    skew = 0 is uniform. A positive skew dwells on noisy images, whose content the decoder can only
    take from z_sem: the encoder learns faster. One draw per equal-probability stratum, in random
    order, lowers the variance of the gradient.
    """
    strata = (torch.randperm(count) + torch.rand(count)) / count
    return (strata ** (1 / (1 + skew)) * diffusion.TIMESTEPS).long()


def face_weights(image_size: int, weight: float) -> Tensor:
    """Pixel weights (1, 1, H, W), mean 1: a Gaussian bump over the face of a tight crop.

    Hair and background fill most of the pixels and would claim most of z_sem. The weights do not
    move the optimum of the denoising loss, which is a conditional mean per pixel; they say which
    pixels matter when capacity is short.

    Args:
        image_size: H = W.
        weight: height of the bump over the background's 1; 0 for none.
    """
    row = torch.linspace(-1, 1, image_size)[:, None]
    bump = torch.exp(-((row.T / 0.45) ** 2) - ((row - 0.1) / 0.55) ** 2)
    weights = 1 + weight * bump
    return (weights / weights.mean())[None, None]


def autoencoder_loss(
    model: DiffAEUNet, weights: Tensor, dtype: torch.dtype = torch.bfloat16
) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
    """Loss of encoder and decoder together: (images, timesteps, eps) → scalar.

    Mean squared error of what the decoder predicts: eps, or the velocity
    v = sqrt(alpha_bar_t) eps - sqrt(1 - alpha_bar_t) x0 (Salimans & Ho 2022, appendix D).

    Args:
        model: decoder with its encoder.
        weights: of the pixels (1, 1, H, W), see `face_weights`.
        dtype: autocast type of convolutions and linear layers.
    """
    alphas = diffusion.image_scheduler().alphas_cumprod
    velocity = model.prediction == "velocity"

    def loss(images: Tensor, timesteps: Tensor, eps: Tensor) -> Tensor:
        device = images.device
        alpha = alphas.to(device)[timesteps][:, None, None, None]
        x_t = alpha.sqrt() * images + (1 - alpha).sqrt() * eps
        target = alpha.sqrt() * eps - (1 - alpha).sqrt() * images if velocity else eps
        with torch.autocast(device.type, dtype, enabled=dtype != torch.float32):
            predicted = model(x_t, timesteps, model.encoder(images))
        return (weights.to(device) * (predicted.float() - target).square()).mean()

    return loss


def principal_codes(
    images: Tensor, count: int, weights: Tensor, seed: int
) -> Callable[[Tensor], Tensor]:
    """Fit whitened principal components: a map from images to codes (N, count), unit variance each.

    Args:
        images: faces the components are fitted on (M, 3, H, W), M well above `count`.
        count: number of components.
        weights: of the pixels (1, 1, H, W), see `face_weights`.
        seed: of the randomised solver.
    """

    def flat(batch: Tensor) -> Tensor:
        return (batch * weights.sqrt()).flatten(1)

    pixels = flat(images)
    mean = pixels.mean(0)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        # A few more components than wanted keep the randomised solver exact on those wanted.
        _, singular, axes = torch.pca_lowrank(pixels - mean, count + 16, center=False, niter=4)
    axes = axes[:, :count] * (len(pixels) - 1) ** 0.5 / singular[:count]
    return lambda batch: (flat(batch) - mean) @ axes


def warm_start_loss(
    encoder: SemanticEncoder,
    codes: Callable[[Tensor], Tensor],
    dtype: torch.dtype = torch.bfloat16,
) -> Callable[[Tensor], Tensor]:
    """Squared error between the encoder's output and linear codes of the same images.

    A random encoder tells the decoder nothing, so the decoder learns to ignore it, and for
    thousands of steps no gradient teaches the encoder anything but colours. Starting from linear
    codes of the face, a matter of minutes, z_sem is worth reading from the first step on.
    """

    def loss(images: Tensor) -> Tensor:
        with torch.autocast(images.device.type, dtype, enabled=dtype != torch.float32):
            z_sem = encoder(images)
        return (z_sem.float() - codes(images)).square().mean()

    return loss


def latent_loss(net: LatentNet) -> Callable[[Tensor], Tensor]:
    """L1 noise-prediction loss of the latent prior over normalised codes z (N, z_dim)."""
    scheduler = diffusion.latent_scheduler()

    def loss(z: Tensor) -> Tensor:
        timesteps = torch.randint(diffusion.TIMESTEPS, (len(z),), device=z.device)
        eps = torch.randn_like(z)
        z_t = diffusion.add_noise(scheduler, z, eps, timesteps)
        return (net(z_t, timesteps) - eps).abs().mean()

    return loss
