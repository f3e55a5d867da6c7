"""The joint generator: codes of faces, and their AU labels, from a prompt and a person.

Source: "MAUGen: A Unified Diffusion Approach for Multi-Identity Facial Expression and AU Label
Generation" (Li et al., 2026), 3.1 to 3.3.

    f_joint = MRL(ε, x_ID, T, C_AU)                                    (1)
    x, v = DIG(f_joint)                                                (2)
    f_joint(t) ~ p(f_joint(t − 1) | ε(x_t), C_cond(t − 1), t)          (3)
    C_AU(t) ~ p(C_AU(t − 1) | f_joint(t)), C_AU ⊥ C_ID                 (4)
    z_{t−1} ~ N(μ_θ(z_t, [C_AU, C_T, C_ID]), σ_t² I)                   (5)

What differs from the paper. The paper diffuses the latents of Stable Diffusion. A Diffusion
Autoencoder has a semantic code z and a latent diffusion prior over it, so here the *prior* is
conditioned, and the frozen decoder turns its z into a picture. The layers are those of that prior
(`facsimile.generator.latent_net`), each followed by cross-attention to the conditions: the first
half is the MRL, the second the upsampling path, whose hidden vectors, cut into tokens, are the
z⁽ˡ⁾ of the label decoder. The identity exemplar is the neutral code of a person, and the network
predicts the difference of z from it. Sampling is deterministic (σ_t = 0).
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from facsimile.describing.conditions import Attention, Conditions, mlp
from facsimile.describing.label_decoder import ALL_PARTS, DecoderParts, LabelDecoder, Labels
from facsimile.describing.text_encoder import TextFeatures
from facsimile.generator.blocks import timestep_embedding

LEVELS = 3
"""Layers of the MRL, and as many of the upsampling path."""

_TIME_CHANNELS = 64


@dataclass(frozen=True)
class Generated:
    """Prediction for B noisy codes.

    Attributes:
        z: clean codes (B, D).
        labels: their AU labels.
    """

    z: Tensor
    labels: Labels


class _Layer(nn.Module):
    """Linear → time scale → layer norm → SiLU → cross-attention to the conditions."""

    def __init__(self, before: int, hidden: int, width: int, time: int) -> None:
        super().__init__()
        self.width = width
        self.linear = nn.Linear(before, hidden)
        self.scale = nn.Linear(time, hidden)
        self.norm = nn.LayerNorm(hidden)
        self.attention = Attention(width)

    def forward(self, x: Tensor, time: Tensor, tokens: Tensor, mask: Tensor) -> Tensor:
        h = nn.functional.silu(self.norm(self.linear(x) * (1 + self.scale(time))))
        return self.attention(h.unflatten(1, (-1, self.width)), tokens, mask).flatten(1)


class JointGenerator(nn.Module):
    """MRL and DIG.

    Args:
        z_dim: D.
        text_dim: E, dimensions of the text features.
        descriptions: text features of the AU descriptions (12, E).
        hidden: width of the layers, a multiple of `width`.
        width: W, of conditions and tokens.
        parts: parts of the label decoder.
        mutual: condition the representation on the AU queries of the previous denoising step.
    """

    def __init__(
        self,
        z_dim: int,
        text_dim: int,
        descriptions: Tensor,
        hidden: int,
        width: int,
        parts: DecoderParts = ALL_PARTS,
        mutual: bool = True,
    ) -> None:
        super().__init__()
        self.mutual = mutual
        self.time = mlp(_TIME_CHANNELS, hidden, hidden)
        self.text = nn.Linear(text_dim, width)
        self.no_text = nn.Parameter(torch.zeros(width))
        self.identity = mlp(z_dim, hidden, width)
        self.representation = nn.ModuleList(
            _Layer(2 * z_dim + (hidden if level else 0), hidden, width, hidden)
            for level in range(LEVELS)
        )
        self.upsampling = nn.ModuleList(
            _Layer(2 * hidden + z_dim, hidden, width, hidden) for _ in range(LEVELS)
        )
        self.out = nn.Linear(hidden, z_dim)
        self.label_decoder = LabelDecoder(width, LEVELS, descriptions, parts)

    def conditions(
        self, text: TextFeatures, exemplars: Tensor, keep_text: Tensor | None = None
    ) -> Conditions:
        """C_cond before the first step, where C_AU is that of the AU descriptions.

        Args:
            text: features of B prompts.
            exemplars: neutral codes (B, D) of the people.
            keep_text: bool (B,); False hides the prompt, for classifier-free guidance.
        """
        words = self.text(text.tokens)
        if keep_text is not None:
            words = torch.where(keep_text[:, None, None], words, self.no_text)
        aus = self.label_decoder.initial_queries().expand(len(exemplars), -1, -1)
        return Conditions(words, text.mask, self.identity(exemplars), aus)

    def forward(
        self, z_t: Tensor, timesteps: Tensor, exemplars: Tensor, conditions: Conditions
    ) -> Generated:
        """Clean codes and labels of noisy codes (B, D) at timesteps (B,)."""
        time = self.time(timestep_embedding(timesteps, _TIME_CHANNELS).to(z_t.dtype))
        tokens, mask = conditions.tokens()
        inputs = torch.cat([z_t, exemplars], dim=1)
        levels = []
        for layer in self.representation:  # f_joint after the last one
            inputs_and_last = torch.cat([inputs, *levels[-1:]], dim=1)
            levels.append(layer(inputs_and_last, time, tokens, mask))
        h, latents = levels[-1], []
        for layer, skip in zip(self.upsampling, reversed(levels), strict=True):
            h = layer(torch.cat([h, skip, z_t], dim=1), time, tokens, mask)
            latents.append(h.unflatten(1, (-1, tokens.shape[-1])))
        return Generated(exemplars + self.out(h), self.label_decoder(latents, conditions))
