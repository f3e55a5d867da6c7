"""Networks of the dual-branch editor: one module per level of a code, all levels in one product.

Source: "AUEditNet: Dual-Branch Facial Action Unit Intensity Manipulation with Implicit
Disentanglement" (Jin et al., CVPR 2024), 3.2 and 3.3.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from facsimile.faces.aus import ACTIVE_THRESHOLD

_LABEL_WIDTH = 16


@dataclass(frozen=True)
class Status:
    """What the encoders find in B codes, Eq. 1.

    Attributes:
        labels: ĉ in [0, 1] and â of each AU at each level, (B, M, N, 2).
        embeddings: z^j, (B, M, E).
    """

    labels: Tensor
    embeddings: Tensor


class DualBranchNetworks(nn.Module):
    """Φ_enc, Φ_dec, T, Ψ_enc and Ψ_dec.

    Level j is a block of principal components of the codes of training faces, the first block with
    the most variance. All levels have the same number of components; the last one may be padded.

    Args:
        z_dim: D, dimensions of a code.
        aus: N, AUs to edit.
        levels: M.
        width: width of the hidden layers of Φ_enc.
        embedding: E, dimensions of an embedding.
        label_mapping: False: pseudo-labels are the labels themselves, at each level.
    """

    def __init__(
        self, z_dim: int, aus: int, levels: int, width: int, embedding: int, label_mapping: bool
    ) -> None:
        super().__init__()
        self.config = {
            "z_dim": z_dim,
            "aus": aus,
            "levels": levels,
            "width": width,
            "embedding": embedding,
            "label_mapping": label_mapping,
        }
        self.shape = (levels, aus, 2)
        size = -(-z_dim // levels)
        self.register_buffer("mean", torch.zeros(z_dim))
        self.register_buffer("basis", torch.zeros(levels, size, z_dim))
        self.register_buffer("scale", torch.ones(levels, 1))
        self.encoder = nn.Sequential(
            _Parallel(levels, size, width),
            nn.SiLU(),
            _Parallel(levels, width, width),
            nn.SiLU(),
            _Parallel(levels, width, 2 * aus + embedding),
        )
        self.decoder = _Parallel(levels, embedding, size)
        self.directions = nn.Parameter(0.1 * torch.randn(levels, aus, embedding))
        self.map_labels = self.unmap_labels = None
        if label_mapping:
            self.map_labels = nn.Sequential(
                _Parallel(aus, 2, _LABEL_WIDTH),
                nn.SiLU(),
                _Parallel(aus, _LABEL_WIDTH, 2 * levels),
            )
            self.unmap_labels = nn.Sequential(
                _Parallel(aus, 2 * levels, _LABEL_WIDTH), nn.SiLU(), _Parallel(aus, _LABEL_WIDTH, 2)
            )

    @torch.no_grad()
    def fit_levels(self, z: Tensor) -> None:
        """Set the principal components that form the levels from codes (N, D)."""
        self.mean.copy_(z.mean(0))
        values, vectors = torch.linalg.eigh(torch.cov((z - self.mean).T.double()))
        self.basis.flatten(0, 1)[: len(values)] = vectors.T.flip(0).float()
        levels = (self.basis @ (z - self.mean).T).square().mean(-1)
        self.scale.copy_(levels.mean(1, keepdim=True).clamp(min=1e-12).sqrt())

    def encode(self, z: Tensor) -> Status:
        """Status of codes (B, D)."""
        levels = ((z - self.mean) @ self.basis.flatten(0, 1).T).unflatten(1, self.basis.shape[:2])
        outputs = self.encoder(levels / self.scale)
        labels = outputs[..., : 2 * self.shape[1]].unflatten(-1, self.shape[1:])
        return Status(_with_existence(labels), outputs[..., 2 * self.shape[1] :])

    def decode(self, embeddings: Tensor) -> Tensor:
        """Residuals (B, D) of embeddings."""
        return (self.decoder(embeddings) * self.scale).flatten(1) @ self.basis.flatten(0, 1)

    def pseudo_labels(self, levels: Tensor) -> Tensor:
        """Ψ_enc: AU levels (B, N) → level-wise labels (B, M, N, 2)."""
        labels = torch.stack([existence(levels), levels], -1)
        if self.map_labels is None:
            return labels[:, None].expand(-1, *self.shape)
        mapped = self.map_labels(labels).unflatten(-1, (self.shape[0], 2))
        return _with_existence(mapped.transpose(1, 2))

    def labels(self, pseudo: Tensor) -> Tensor:
        """Ψ_dec: level-wise labels (B, M, N, 2) → existence and level of each AU (B, N, 2)."""
        if self.unmap_labels is None:
            return pseudo.mean(1)
        return _with_existence(self.unmap_labels(pseudo.transpose(1, 2).flatten(2)))

    def move(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """Embeddings plus ``Σ_i a^i,j T(c^i,j)`` of level-wise labels, or of their difference.

        Args:
            embeddings: (B, M, E).
            labels: `amounts`, (B, M, N).
        """
        return embeddings + torch.einsum("bmn,mne->bme", labels, self.directions)


def amounts(labels: Tensor) -> Tensor:
    """``a · c`` of labels (..., 2): how far T goes along the direction that c selects."""
    return labels.prod(-1)


def existence(levels: Tensor) -> Tensor:
    """c of AU levels: 1 if the AU is active, up to which it rises with the level.

    Labels of faces are either 0 or active. A ramp between keeps small changes small.
    """
    return (levels.abs() / ACTIVE_THRESHOLD).clamp(max=1)


def _with_existence(outputs: Tensor) -> Tensor:
    """Logits of c and a (..., 2) → c and a."""
    return torch.stack([F.sigmoid(outputs[..., 0]), outputs[..., 1]], -1)


class _Parallel(nn.Module):
    """A linear layer of its own for each of `groups` vectors: (B, G, inputs) → (B, G, outputs)."""

    def __init__(self, groups: int, inputs: int, outputs: int) -> None:
        super().__init__()
        bound = inputs**-0.5
        self.weight = nn.Parameter(torch.empty(groups, inputs, outputs).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.zeros(groups, outputs))

    def forward(self, x: Tensor) -> Tensor:
        outputs = torch.baddbmm(self.bias[:, None], x.transpose(0, 1), self.weight)
        return outputs.transpose(0, 1)
