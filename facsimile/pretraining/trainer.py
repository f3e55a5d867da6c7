"""Training of the Diffusion Autoencoder and of its latent prior, one optimisation step at a time.

Legend: x_t = sqrt(alpha_bar_t) x0 + sqrt(1 - alpha_bar_t) eps; networks predict eps or x0.
Losses are deterministic; their random inputs are drawn by the caller (draws.py), which also runs
the training loop (progress, checkpoints, previews).
"""

import copy
import math
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.nn import functional as F
from torch.nn.parallel import DistributedDataParallel

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
    """Multiplier of the learning rate at a step: linear warm-up, then half a cosine to zero."""
    if step < settings.warmup_steps:
        return (step + 1) / settings.warmup_steps
    done = (step - settings.warmup_steps) / max(1, settings.steps - settings.warmup_steps)
    return 0.5 * (1 + math.cos(math.pi * min(1.0, done)))


class Trainer:
    """Optimiser, schedule and EMA for a differentiable loss.

    In a process group, each rank computes its own share of a batch; gradients are averaged, so all
    ranks hold the same weights.

    Args:
        model: network being trained.
        loss: maps a batch to its mean loss; contains `model` and may be compiled.
        settings: optimiser settings.
        accumulate: number of gradient accumulation steps per batch, to save memory.
    """

    def __init__(
        self,
        model: nn.Module,
        loss: nn.Module,
        settings: OptimizerSettings,
        accumulate: int = 1,
    ) -> None:
        self.model = model.train()
        self.ema = copy.deepcopy(model).eval().requires_grad_(False)
        self.loss = loss
        if distributed.is_initialized():
            self.loss = DistributedDataParallel(loss, broadcast_buffers=False)
        self.settings = settings
        self.accumulate = accumulate
        self.step_count = 0
        self.optimizer = torch.optim.AdamW(
            model.parameters(), settings.learning_rate, weight_decay=settings.weight_decay
        )

    def step(self, *batch: Tensor) -> Tensor:
        """Update once on ``loss(*batch)``.

        Returns:
            The loss on its device, so that the caller need not wait for it.
        """
        settings = self.settings
        for group in self.optimizer.param_groups:
            factor = learning_rate_factor(self.step_count, settings)
            group["lr"] = settings.learning_rate * factor
        total = torch.zeros((), device=batch[0].device)
        parts = list(zip(*(values.chunk(self.accumulate) for values in batch), strict=True))
        for number, part in enumerate(parts, start=1):
            with self._without_sync() if number < len(parts) else nullcontext():
                loss = self.loss(*part) / len(parts)
                loss.backward()
            total += loss.detach()
        nn.utils.clip_grad_norm_(self.model.parameters(), settings.clip_norm)
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.step_count += 1
        # Average over few steps at first, so that the random initial weights are forgotten.
        decay = min(settings.ema_decay, (1 + self.step_count) / (10 + self.step_count))
        with torch.no_grad():
            torch._foreach_lerp_(
                list(self.ema.parameters()), list(self.model.parameters()), 1 - decay
            )
        return total

    def _without_sync(self) -> AbstractContextManager[None]:
        """Skip exchanging gradients, which only the last part of a batch needs."""
        if isinstance(self.loss, DistributedDataParallel):
            return self.loss.no_sync()
        return nullcontext()

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


def face_weights(image_size: int, weight: float, eye_row: float, eye_distance: float) -> Tensor:
    """Pixel weights (1, 1, H, W), mean 1: Gaussian bumps over brows with eyes, and over the mouth.

    These regions move most. Hair, background and cheeks cover most pixels and would otherwise
    dominate z_sem. The weights do not change the optimum of the denoising loss, which is a
    conditional mean per pixel; they set which pixels matter if capacity is limited.

    Args:
        image_size: H = W.
        weight: height of the bumps above the base weight of 1; 0 for uniform weights.
        eye_row: distance of the eyes from the upper edge of aligned faces, as a fraction of the
            side length.
        eye_distance: distance between the eyes, as a fraction of the side length.
    """
    # In units of the distance between the eyes, from the point between them.
    row = ((torch.arange(image_size) + 0.5) / image_size - eye_row)[:, None] / eye_distance
    column = ((torch.arange(image_size) + 0.5) / image_size - 0.5)[None] / eye_distance
    brows = torch.exp(-(((column.abs() - 0.55) / 0.4) ** 2) - ((row + 0.25) / 0.45) ** 2)
    mouth = torch.exp(-((column / 0.6) ** 2) - ((row - 1.2) / 0.45) ** 2)
    weights = 1 + weight * (brows + mouth)
    return (weights / weights.mean())[None, None]


def detailed_square(error: Tensor, detail: float) -> Tensor:
    """Squared error plus `detail` times its squared differences to the next row and column.

    The power spectrum of faces falls with the square of the frequency, so a plain squared error is
    dominated by shading and colours, while brows and lids move by a pixel or two. As with
    `face_weights`, the optimum does not change.

    Args:
        error: (N, 3, H, W).
        detail: weight of the differences; 0 for the plain squared error.
    """
    square = error.square()
    if detail:
        square = square + detail * F.pad(error.diff(dim=2), (0, 0, 0, 1)).square()
        square = square + detail * F.pad(error.diff(dim=3), (0, 1)).square()
    return square


class AutoencoderLoss(nn.Module):
    """Joint loss of encoder and decoder: (images, timesteps, eps) → scalar.

    Mean squared error of eps, or of x0. The latter is weighted by 1 / (1 - alpha_bar_t), as in
    velocity prediction (Salimans & Ho 2022, section 4), capped for nearly clean timesteps.

    Args:
        model: decoder with its encoder.
        weights: pixel weights (1, 1, H, W), see `face_weights`.
        detail: weight of differences between neighbouring pixels, see `detailed_square`.
        dtype: autocast type of convolutions and linear layers; float32 disables autocast.
    """

    MAX_IMPORTANCE = 5.0
    """Largest weight of a timestep. Where it applies, x_t says more about x0 than z_sem does."""

    def __init__(
        self,
        model: DiffAEUNet,
        weights: Tensor,
        detail: float = 0.0,
        dtype: torch.dtype = torch.bfloat16,
    ) -> None:
        super().__init__()
        self.model = model
        self.detail = detail
        self.dtype = dtype
        self.register_buffer("weights", weights)
        self.register_buffer("alphas", diffusion.image_scheduler().alphas_cumprod)

    def forward(self, images: Tensor, timesteps: Tensor, eps: Tensor) -> Tensor:
        alpha = self.alphas[timesteps][:, None, None, None]
        x_t = alpha.sqrt() * images + (1 - alpha).sqrt() * eps
        with _autocast(images, self.dtype):
            predicted = self.model(x_t, timesteps, self.model.encoder(images)).float()
        if self.model.prediction == "epsilon":
            return (self.weights * detailed_square(predicted - eps, self.detail)).mean()
        error = diffusion.blend(predicted, x_t, alpha) - images
        importance = (1 / (1 - alpha)).clamp(max=self.MAX_IMPORTANCE)
        return (self.weights * importance * detailed_square(error, self.detail)).mean()


class PrincipalCodes(nn.Module):
    """Whitened principal components: map images to codes (N, count) of unit variance.

    Args:
        images: faces (M, 3, H, W) to fit the components on, M well above `count`.
        count: number of components.
        weights: pixel weights (1, 1, H, W), see `face_weights`.
        seed: seed of the randomised solver.
    """

    # Extra components keep the randomised solver accurate on the first `count`.
    OVERSAMPLING = 16

    def __init__(self, images: Tensor, count: int, weights: Tensor, seed: int) -> None:
        super().__init__()
        self.register_buffer("weights", weights)
        pixels = self._flat(images)
        self.register_buffer("mean", pixels.mean(0))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            centred = pixels - self.mean
            _, singular, axes = torch.pca_lowrank(
                centred, count + self.OVERSAMPLING, center=False, niter=4
            )
        self.register_buffer("axes", axes[:, :count] * (len(pixels) - 1) ** 0.5 / singular[:count])

    def forward(self, images: Tensor) -> Tensor:
        return (self._flat(images) - self.mean) @ self.axes

    def _flat(self, images: Tensor) -> Tensor:
        return (images * self.weights.sqrt()).flatten(1)


class WarmStartLoss(nn.Module):
    """Squared error between the encoder's output and linear codes of the same images.

    The output of a random encoder is uninformative, so the decoder learns to ignore it, and for
    thousands of steps the encoder only learns colours. After a few minutes of training on linear
    codes, z_sem is informative from the first joint step on.
    """

    def __init__(
        self, encoder: SemanticEncoder, codes: PrincipalCodes, dtype: torch.dtype = torch.bfloat16
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.codes = codes
        self.dtype = dtype

    def forward(self, images: Tensor) -> Tensor:
        with _autocast(images, self.dtype):
            z_sem = self.encoder(images)
        return (z_sem.float() - self.codes(images)).square().mean()


class LatentLoss(nn.Module):
    """L1 noise-prediction loss of the latent prior: (normalised z, timesteps, eps) → scalar."""

    def __init__(self, net: LatentNet) -> None:
        super().__init__()
        self.net = net
        self.scheduler = diffusion.latent_scheduler()

    def forward(self, z: Tensor, timesteps: Tensor, eps: Tensor) -> Tensor:
        z_t = diffusion.add_noise(self.scheduler, z, eps, timesteps)
        return (self.net(z_t, timesteps) - eps).abs().mean()


def _autocast(batch: Tensor, dtype: torch.dtype) -> torch.autocast:
    return torch.autocast(batch.device.type, dtype, enabled=dtype != torch.float32)
