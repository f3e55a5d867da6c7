"""Latent denoiser: an MLP with skips over normalised z_sem (arXiv:2111.15640, appendix A)."""

import torch
from torch import Tensor, nn

from facsimile.generator.blocks import timestep_embedding
from facsimile.generator.config import LatentNetConfig


class LatentLayer(nn.Module):
    """Linear → time scale → layer norm → SiLU; the last layer of the network is only linear."""

    def __init__(self, in_features: int, out_features: int, cond_features: int | None) -> None:
        super().__init__()
        self.linear = nn.Linear(in_features, out_features)
        self.conditioned = cond_features is not None
        if self.conditioned:
            self.cond_layers = nn.Sequential(nn.SiLU(), nn.Linear(cond_features, out_features))
            self.norm = nn.LayerNorm(out_features)
            nn.init.kaiming_normal_(self.linear.weight, nonlinearity="relu")

    def forward(self, x: Tensor, time_emb: Tensor) -> Tensor:
        h = self.linear(x)
        if self.conditioned:
            h = nn.functional.silu(self.norm(h * (1 + self.cond_layers(time_emb))))
        return h


class LatentNet(nn.Module):
    """eps predictor for z (N, z_dim); every layer after the first also receives the input."""

    def __init__(self, config: LatentNetConfig, z_dim: int) -> None:
        super().__init__()
        self.time_channels = config.time_channels
        self.time_embed = nn.Sequential(
            nn.Linear(config.time_channels, z_dim), nn.SiLU(), nn.Linear(z_dim, z_dim)
        )
        hidden, last = config.hidden, config.num_layers - 1
        self.layers = nn.ModuleList(
            LatentLayer(
                z_dim if i == 0 else hidden + z_dim,
                z_dim if i == last else hidden,
                None if i == last else z_dim,
            )
            for i in range(config.num_layers)
        )

    def forward(self, z_t: Tensor, timesteps: Tensor) -> Tensor:
        """Noisy normalised codes (N, z_dim) at timesteps (N,) → eps (N, z_dim)."""
        embedding = timestep_embedding(timesteps, self.time_channels)
        time_emb = self.time_embed(embedding.to(z_t.dtype))
        h = z_t
        for i, layer in enumerate(self.layers):
            h = layer(h if i == 0 else torch.cat([h, z_t], dim=1), time_emb)
        return h
