"""The conditional label decoder (CLD): AU labels from the latents of the generated face.

Source: "MAUGen: A Unified Diffusion Approach for Multi-Identity Facial Expression and AU Label
Generation" (Li et al., 2026), 3.3 and Fig. 3. For the latents z⁽ˡ⁾ of each level l:

    M_ID⁽ˡ⁾ = 1 − sigmoid(MLP_MM⁽ˡ⁾(C_ID) · K⁽ˡ⁾ᵀ)                               (6)
    z_res⁽ˡ⁾ = z⁽ˡ⁾ − ⟨z⁽ˡ⁾, Ĉ_ID⁽ˡ⁾⟩ Ĉ_ID⁽ˡ⁾,  Ĉ_ID⁽ˡ⁾ = norm(MLP_RF⁽ˡ⁾(C_ID))     (7)
    z_⊥⁽ˡ⁾ = LN(softmax(Q⁽ˡ⁾K⁽ˡ⁾ᵀ / √d ⊙ M_ID⁽ˡ⁾) V⁽ˡ⁾ + z_res⁽ˡ⁾)                 (8)
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from facsimile.describing.conditions import Attention, Conditions, mlp


@dataclass(frozen=True)
class Labels:
    """What the decoder says of B faces.

    Attributes:
        occurrence: logits (B, 12) of v_occ.
        intensity: v_int (B, 12), unclipped; 1 = FACS level E.
        queries: refined AU queries (B, 12, W).
    """

    occurrence: Tensor
    intensity: Tensor
    queries: Tensor


@dataclass(frozen=True)
class DecoderParts:
    """Parts of the decoder, each of which a row of the paper's Table 3 leaves out.

    Attributes:
        modulation_mask: Eq. (6); otherwise M_ID = 1.
        residual_filter: Eq. (7); otherwise z_res = z.
        language_initialization: AU queries start from AU descriptions, not from zero.
        language_enhancer: see `LanguageEnhancer`.
    """

    modulation_mask: bool = True
    residual_filter: bool = True
    language_initialization: bool = True
    language_enhancer: bool = True


ALL_PARTS = DecoderParts()


class IdentityDecoupling(nn.Module):
    """IDM: removes what belongs to the person from latents, Eq. (6) to (8).

    Args:
        width: W.
        parts: which of its two mechanisms to use.
    """

    def __init__(self, width: int, parts: DecoderParts) -> None:
        super().__init__()
        self.parts = parts
        self.query, self.key, self.value = (nn.Linear(width, width) for _ in range(3))
        self.mask = mlp(width, width, width)
        self.filter = mlp(width, width, width)
        self.norm = nn.LayerNorm(width)

    def forward(self, latents: Tensor, identity: Tensor) -> Tensor:
        """z_⊥ (B, T, W) of latents z (B, T, W) and C_ID (B, W)."""
        query, key, value = self.query(latents), self.key(latents), self.value(latents)
        scores = query @ key.transpose(1, 2) / query.shape[-1] ** 0.5
        if self.parts.modulation_mask:
            similarity = self.mask(identity)[:, None] @ key.transpose(1, 2)
            scores = scores * (1 - torch.sigmoid(similarity))
        residual = latents
        if self.parts.residual_filter:
            axis = F.normalize(self.filter(identity), dim=1)[:, None]
            residual = latents - (latents * axis).sum(-1, keepdim=True) * axis
        return self.norm(scores.softmax(dim=-1) @ value + residual)


class LanguageEnhancer(nn.Module):
    """LGFE: self-attention over the words of the prompt, then cross-attention into AU queries."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.over_words = Attention(width)
        self.into_queries = Attention(width)

    def forward(self, queries: Tensor, conditions: Conditions) -> Tensor:
        """Queries (B, 12, W)."""
        text, words = conditions.text, conditions.words
        return self.into_queries(queries, self.over_words(text, text, words), words)


class _Level(nn.Module):
    """One layer of the transformer decoder, which reads the latents of one level."""

    def __init__(self, width: int, parts: DecoderParts) -> None:
        super().__init__()
        self.decoupling = IdentityDecoupling(width, parts)
        self.between_aus = Attention(width)
        self.enhancer = LanguageEnhancer(width) if parts.language_enhancer else None
        self.into_face = Attention(width)
        self.norm = nn.LayerNorm(width)
        self.feed_forward = mlp(width, 2 * width, width)

    def forward(self, queries: Tensor, latents: Tensor, conditions: Conditions) -> Tensor:
        queries = self.between_aus(queries, queries)
        if self.enhancer is not None:
            queries = self.enhancer(queries, conditions)
        queries = self.into_face(queries, self.decoupling(latents, conditions.identity))
        return queries + self.feed_forward(self.norm(queries))


class LabelDecoder(nn.Module):
    """CLD.

    Args:
        width: W.
        levels: number of levels of latents.
        descriptions: features of the AU descriptions (12, E), from the text encoder.
        parts: parts to use.
    """

    def __init__(self, width: int, levels: int, descriptions: Tensor, parts: DecoderParts) -> None:
        super().__init__()
        self.levels = nn.ModuleList(_Level(width, parts) for _ in range(levels))
        if parts.language_initialization:
            self.register_buffer("descriptions", descriptions.clone())
            self.describe = nn.Linear(descriptions.shape[1], width)
        else:
            self.describe = None
        self.offsets = nn.Parameter(0.02 * torch.randn(len(descriptions), width))
        self.norm = nn.LayerNorm(width)
        self.occurrence, self.intensity = (mlp(width, width, 1) for _ in range(2))

    def initial_queries(self) -> Tensor:
        """AU queries (12, W) before they have seen a face."""
        if self.describe is None:
            return self.offsets
        return self.offsets + self.describe(self.descriptions)

    def forward(self, latents: list[Tensor], conditions: Conditions) -> Labels:
        """Labels from the latents z⁽ˡ⁾ (B, T, W) of all levels."""
        queries = self.initial_queries().expand(len(conditions.identity), -1, -1)
        for level, of_level in zip(self.levels, latents, strict=True):
            queries = level(queries, of_level, conditions)
        queries = self.norm(queries)
        heads = (self.occurrence, self.intensity)
        occurrence, intensity = (head(queries).squeeze(-1) for head in heads)
        return Labels(occurrence, intensity, queries)
