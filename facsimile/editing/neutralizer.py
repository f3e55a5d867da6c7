"""The neutralization model N: AUs and attributes of a face, predicted from its code.

Source: "Controlled Face Manipulation and Synthesis for Data Augmentation", III-B and Fig. 14.
neutralizer_training.py trains N; neutralization.py moves codes to zero AU activity with it.
"""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import load_model, save_model
from torch import Tensor, nn
from torch.nn import functional as F

from facsimile.errors import FacsimileError
from facsimile.faces.aus import AUS, NUISANCES

AGE = NUISANCES.index("age")
BINARY = [index for index in range(len(NUISANCES)) if index != AGE]
"""Columns of the static attributes: one value in [0, 1], and those predicted as logits."""


class Neutralizer(nn.Module):
    """Fully connected AU and attribute predictor on normalised codes (Fig. 14).

    A shared layer splits into a dynamic branch for the 12 AUs and a static branch for eyeglasses,
    beard, male and age; each attribute has its own FC-512 layer. SiLU follows each layer.

    Args:
        z_dim: dimension of a code.
        width: width of all layers.
        dropout: dropout rate on the code.
        aus: AUs to learn. Predictions for all other AUs are 0, so that they move no code.
    """

    def __init__(
        self, z_dim: int, width: int = 512, dropout: float = 0.2, aus: Sequence[str] = AUS
    ) -> None:
        super().__init__()
        self.config = {"z_dim": z_dim, "width": width, "dropout": dropout}
        if tuple(aus) != AUS:
            self.config["aus"] = list(aus)
        self.aus = tuple(aus)
        learnt = torch.tensor([float(au in aus) for au in AUS])
        self.register_buffer("learnt", learnt, persistent=False)
        self.dropout = nn.Dropout(dropout)
        self.trunk = nn.Linear(z_dim, width)
        self.dynamic = _Branch(width, len(AUS))
        self.static = _Branch(width, len(NUISANCES))

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """AU intensities (B, 12) and static attributes (B, 4): logits, except for age."""
        shared = F.silu(self.trunk(self.dropout(z)))
        return self.learnt * self.dynamic(shared), self.static(shared)

    def expression_features(self, z: Tensor) -> Tensor:
        """Features (B, width) of the dynamic branch, which describe the expression."""
        shared = F.silu(self.trunk(self.dropout(z)))
        return F.silu(self.dynamic.shared(shared))

    @torch.inference_mode()
    def predict(self, z: np.ndarray) -> np.ndarray:
        """AU intensities (N, 12) float32 of normalised codes (N, D)."""
        device = next(self.parameters()).device
        codes = torch.as_tensor(np.asarray(z), dtype=torch.float32, device=device)
        return self.eval()(codes)[0].cpu().numpy()

    def save(self, path: str | Path) -> None:
        """Write weights and config as one safetensors file."""
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        save_model(self, str(path), metadata={"config": json.dumps(self.config)})

    @classmethod
    def load(cls, path: str | Path) -> "Neutralizer":
        """Read what `save` wrote. Raises FacsimileError if the file is not readable."""
        try:
            with safe_open(str(path), "pt") as file:
                config = json.loads(file.metadata()["config"])
            model = cls(**config)
            load_model(model, str(path))
        except Exception as error:  # safetensors raises its own untyped errors
            raise FacsimileError(f"{path}: not a neutralization model ({error})") from error
        return model.eval()


class _Branch(nn.Module):
    """One FC layer, then for each attribute its own FC layer and a single output."""

    def __init__(self, width: int, attributes: int) -> None:
        super().__init__()
        self.shared = nn.Linear(width, width)
        # All attributes' layers read the same input, so one product computes them together.
        self.own = nn.Linear(width, attributes * width)
        self.readout = nn.Parameter(torch.empty(attributes, width))
        self.bias = nn.Parameter(torch.zeros(attributes))
        nn.init.uniform_(self.readout, -(width**-0.5), width**-0.5)

    def forward(self, features: Tensor) -> Tensor:
        own = F.silu(self.own(F.silu(self.shared(features))))
        return (own.unflatten(1, self.readout.shape) * self.readout).sum(-1) + self.bias
