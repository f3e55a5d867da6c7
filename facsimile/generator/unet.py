"""Semantic encoder and conditional UNet decoder of the Diffusion Autoencoder.

Legend (arXiv:2111.15640): z_sem = Enc(x0); eps = UNet(x_t, t, z_sem). Images are (N, 3, H, W) in
[-1, 1]. With ``patch_size`` p > 1 both networks work on p×p pixel-unshuffled images, which divides
the cost by about p² and lets 64 px faces train on a CPU; p = 1 is the published architecture.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from facsimile.generator.blocks import (
    GROUPS,
    AttentionBlock,
    ConditionedSequential,
    ResBlock,
    timestep_embedding,
    zero_init,
)
from facsimile.generator.config import UNetConfig


class TimeEmbedding(nn.Module):
    """Two-layer MLP over the sinusoidal timestep embedding."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.in_channels = in_channels
        self.time_embed = nn.Sequential(
            nn.Linear(in_channels, out_channels),
            nn.SiLU(),
            nn.Linear(out_channels, out_channels),
        )

    def forward(self, timesteps: Tensor) -> Tensor:
        embedding = timestep_embedding(timesteps, self.in_channels)
        return self.time_embed(embedding.to(self.time_embed[0].weight.dtype))


def _contracting_path(
    config: UNetConfig, channel_mult: tuple[int, ...], cond_channels: int | None
) -> tuple[nn.ModuleList, list[int]]:
    """Blocks from full resolution down, and the number of output channels of each."""
    channels = config.model_channels
    image_channels = 3 * config.patch_size**2
    blocks = nn.ModuleList(
        [ConditionedSequential(nn.Conv2d(image_channels, channels, 3, padding=1))]
    )
    widths = [channels]
    resolution = config.image_size // config.patch_size
    for level, mult in enumerate(channel_mult):
        for _ in range(config.num_res_blocks):
            out_channels = mult * config.model_channels
            layers = [ResBlock(channels, out_channels, cond_channels, config.dropout)]
            channels = out_channels
            if resolution in config.attention_resolutions:
                layers.append(AttentionBlock(channels))
            blocks.append(ConditionedSequential(*layers))
            widths.append(channels)
        if level < len(channel_mult) - 1:
            down = ResBlock(channels, channels, cond_channels, config.dropout, "down")
            blocks.append(ConditionedSequential(down))
            widths.append(channels)
            resolution //= 2
    return blocks, widths


def _middle(channels: int, cond_channels: int | None, dropout: float) -> ConditionedSequential:
    return ConditionedSequential(
        ResBlock(channels, channels, cond_channels, dropout),
        AttentionBlock(channels),
        ResBlock(channels, channels, cond_channels, dropout),
    )


class SemanticEncoder(nn.Module):
    """x0 → z_sem: the contracting half of the UNet without time, reduced to one vector."""

    def __init__(self, config: UNetConfig) -> None:
        super().__init__()
        self.patch_size = config.patch_size
        self.input_blocks, widths = _contracting_path(config, config.encoder_channel_mult, None)
        self.middle_block = _middle(widths[-1], None, config.dropout)
        halvings = len(config.encoder_channel_mult) - 1
        side = config.image_size // config.patch_size // 2**halvings
        average = config.encoder_pool == "average"
        self.out = nn.Sequential(
            nn.GroupNorm(GROUPS, widths[-1]),
            nn.SiLU(),
            nn.AdaptiveAvgPool2d(1) if average else nn.Identity(),
            nn.Conv2d(widths[-1], config.z_dim, 1 if average else side),
        )

    def forward(self, images: Tensor) -> Tensor:
        """Images (N, 3, H, W) in [-1, 1] → z_sem (N, z_dim)."""
        h = F.pixel_unshuffle(images, self.patch_size)
        for block in self.input_blocks:
            h = block(h)
        return self.out(self.middle_block(h)).flatten(1)


class DiffAEUNet(nn.Module):
    """Conditional noise predictor with the semantic encoder as its child ``encoder``."""

    def __init__(self, config: UNetConfig) -> None:
        super().__init__()
        self.patch_size = config.patch_size
        self.prediction = config.prediction
        self.time_embed = TimeEmbedding(config.model_channels, config.z_dim)
        self.input_blocks, widths = _contracting_path(config, config.channel_mult, config.z_dim)
        channels = widths[-1]
        self.middle_block = _middle(channels, config.z_dim, config.dropout)

        self.output_blocks = nn.ModuleList()
        levels = len(config.channel_mult)
        resolution = config.image_size // config.patch_size // 2 ** (levels - 1)
        for level in reversed(range(levels)):
            out_channels = config.channel_mult[level] * config.model_channels
            for i in range(config.num_res_blocks + 1):
                block = ResBlock(
                    channels + widths.pop(), out_channels, config.z_dim, config.dropout
                )
                layers: list[nn.Module] = [block]
                channels = out_channels
                if resolution in config.attention_resolutions:
                    layers.append(AttentionBlock(channels))
                if level > 0 and i == config.num_res_blocks:
                    layers.append(ResBlock(channels, channels, config.z_dim, config.dropout, "up"))
                    resolution *= 2
                self.output_blocks.append(ConditionedSequential(*layers))
        self.out = nn.Sequential(
            nn.GroupNorm(GROUPS, channels),
            nn.SiLU(),
            zero_init(nn.Conv2d(channels, 3 * config.patch_size**2, 3, padding=1)),
        )
        self.encoder = SemanticEncoder(config)

    def forward(self, x_t: Tensor, timesteps: Tensor, z_sem: Tensor) -> Tensor:
        """Predict the noise in x_t, or x0 (see `UNetConfig.prediction`).

        Args:
            x_t: noisy images (N, 3, H, W).
            timesteps: (N,) integers in 0…999.
            z_sem: semantic codes (N, z_dim), raw encoder output.

        Returns:
            eps or x0 (N, 3, H, W).
        """
        time_emb = self.time_embed(timesteps)
        h = F.pixel_unshuffle(x_t, self.patch_size)
        skips = []
        for block in self.input_blocks:
            h = block(h, time_emb, z_sem)
            skips.append(h)
        h = self.middle_block(h, time_emb, z_sem)
        for block in self.output_blocks:
            h = block(torch.cat([h, skips.pop()], dim=1), time_emb, z_sem)
        return F.pixel_shuffle(self.out(h), self.patch_size)
