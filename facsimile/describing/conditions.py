"""Conditions of the joint generator, and the attention layers that read them.

Source: "MAUGen: A Unified Diffusion Approach for Multi-Identity Facial Expression and AU Label
Generation" (Li et al., 2026), 3.2: C_cond = [C_T, C_ID, C_AU].
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F

HEADS = 4


@dataclass(frozen=True)
class Conditions:
    """C_cond of B faces, in vectors of the width W of the attention.

    Attributes:
        text: C_T, one vector for each word of the prompt (B, L, W).
        words: which of them are words rather than padding, bool (B, L).
        identity: C_ID (B, W).
        aus: C_AU, one vector for each AU (B, 12, W).
    """

    text: Tensor
    words: Tensor
    identity: Tensor
    aus: Tensor

    def with_aus(self, aus: Tensor) -> "Conditions":
        """The same with another C_AU."""
        return replace(self, aus=aus)

    def tokens(self) -> tuple[Tensor, Tensor]:
        """All vectors (B, L + 13, W), and which of them count, bool (B, L + 13)."""
        tokens = torch.cat([self.text, self.identity[:, None], self.aus], dim=1)
        return tokens, F.pad(self.words, (0, tokens.shape[1] - self.words.shape[1]), value=True)


class Attention(nn.Module):
    """Residual multi-head attention with normalised inputs.

    Args:
        width: W, of queries and context alike.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.context_norm = nn.LayerNorm(width)
        self.query = nn.Linear(width, width)
        self.key_value = nn.Linear(width, 2 * width)
        self.out = nn.Linear(width, width)

    def forward(self, x: Tensor, context: Tensor, mask: Tensor | None = None) -> Tensor:
        """x (B, Q, W) attends to context (B, K, W) where mask (B, K) is true."""
        query = _split(self.query(self.norm(x)))
        key, value = (
            _split(part) for part in self.key_value(self.context_norm(context)).chunk(2, dim=-1)
        )
        mask = None if mask is None else mask[:, None, None]
        attended = F.scaled_dot_product_attention(query, key, value, mask)
        return x + self.out(attended.transpose(1, 2).flatten(2))


def _split(x: Tensor) -> Tensor:
    """(B, N, W) → (B, heads, N, W / heads)."""
    return x.unflatten(-1, (HEADS, -1)).transpose(1, 2)


def mlp(before: int, width: int, after: int) -> nn.Sequential:
    """Two linear layers with SiLU between them."""
    return nn.Sequential(nn.Linear(before, width), nn.SiLU(), nn.Linear(width, after))
