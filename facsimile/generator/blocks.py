"""Building blocks of the Diffusion Autoencoder (Preechakul et al., CVPR 2022, arXiv:2111.15640).

Parameter names are those of the published checkpoints, so that official weights load by name.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

GROUPS = 32
"""Number of groups of every group normalisation; channel counts must be divisible by it."""


def timestep_embedding(timesteps: Tensor, width: int, max_period: float = 10_000.0) -> Tensor:
    """Sinusoidal embedding of timesteps (N,), cosines first, as (N, width) float32."""
    half = width // 2
    exponent = torch.arange(half, dtype=torch.float32, device=timesteps.device) / half
    angles = timesteps.float()[:, None] * torch.exp(-math.log(max_period) * exponent)
    return torch.cat([angles.cos(), angles.sin()], dim=-1)


def zero_init(module: nn.Module) -> nn.Module:
    """Zero a layer's weight and bias, so that its residual block starts as the identity."""
    for parameter in module.parameters():
        nn.init.zeros_(parameter)
    return module


def resample(x: Tensor, direction: str | None) -> Tensor:
    """Halve by averaging ("down"), double by repetition ("up"), or leave as it is (None)."""
    if direction == "down":
        return F.avg_pool2d(x, 2)
    if direction == "up":
        return F.interpolate(x, scale_factor=2, mode="nearest")
    return x


class ResBlock(nn.Module):
    """Residual block, optionally resampling and optionally conditioned on time and z_sem.

    Conditioned (decoder), with a, b from the time embedding and c from z_sem::

        h = conv(resample(SiLU(norm(x))))
        h = conv(dropout(SiLU((norm(h) · (1 + a) + b) · (1 + c))))
        y = h + skip(resample(x))

    Unconditioned (encoder) the second line is absent.

    Args:
        in_channels, out_channels: channel counts.
        cond_channels: width of the time embedding and of z_sem; None for the encoder's blocks.
        dropout: dropout probability in the second half.
        direction: None, "down" or "up".
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        cond_channels: int | None = None,
        dropout: float = 0.0,
        direction: str | None = None,
    ) -> None:
        super().__init__()
        self.direction = direction
        self.in_layers = nn.Sequential(
            nn.GroupNorm(GROUPS, in_channels),
            nn.SiLU(),
            nn.Conv2d(in_channels, out_channels, 3, padding=1),
        )
        self.conditioned = cond_channels is not None
        if self.conditioned:
            self.emb_layers = nn.Sequential(nn.SiLU(), nn.Linear(cond_channels, 2 * out_channels))
            self.cond_emb_layers = nn.Sequential(nn.SiLU(), nn.Linear(cond_channels, out_channels))
            self.out_layers = nn.Sequential(
                nn.GroupNorm(GROUPS, out_channels),
                nn.SiLU(),
                nn.Dropout(dropout),
                zero_init(nn.Conv2d(out_channels, out_channels, 3, padding=1)),
            )
        self.skip_connection = (
            nn.Identity()
            if in_channels == out_channels
            else nn.Conv2d(in_channels, out_channels, 1)
        )

    def forward(
        self, x: Tensor, time_emb: Tensor | None = None, z_sem: Tensor | None = None
    ) -> Tensor:
        norm, activation, conv = self.in_layers
        h = conv(resample(activation(norm(x)), self.direction))
        x = resample(x, self.direction)
        if self.conditioned:
            norm, *rest = self.out_layers
            a, b = self.emb_layers(time_emb)[:, :, None, None].chunk(2, dim=1)
            c = self.cond_emb_layers(z_sem)[:, :, None, None]
            h = (norm(h) * (1 + a) + b) * (1 + c)
            for layer in rest:
                h = layer(h)
        return self.skip_connection(x) + h


class AttentionBlock(nn.Module):
    """Single-head self-attention over the positions of a feature map, with a residual."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(GROUPS, channels)
        self.qkv = nn.Conv1d(channels, 3 * channels, 1)
        self.proj_out = zero_init(nn.Conv1d(channels, channels, 1))

    def forward(self, x: Tensor, *_: Tensor | None) -> Tensor:
        tokens = x.flatten(2)
        q, k, v = self.qkv(self.norm(tokens)).transpose(1, 2).chunk(3, dim=-1)
        h = F.scaled_dot_product_attention(q, k, v).transpose(1, 2)
        return x + self.proj_out(h).view_as(x)


class ConditionedSequential(nn.Sequential):
    """Sequential container that passes the conditions to its residual and attention blocks."""

    def forward(
        self, x: Tensor, time_emb: Tensor | None = None, z_sem: Tensor | None = None
    ) -> Tensor:
        for layer in self:
            x = layer(x) if isinstance(layer, nn.Conv2d) else layer(x, time_emb, z_sem)
        return x
