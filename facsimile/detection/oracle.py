"""The oracle: an independent estimator of AUs and identity, used only to measure.

It replaces two tools of the source ("Controlled Face Manipulation and Synthesis for Data
Augmentation", IV-B and IV-D): an AU detector that no stage trains on (FaceReader there) and a face
recognition model. It is trained on people and images that no stage uses and whose AUs are
uncorrelated, so that its reading of one AU does not depend on another.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F

from facsimile.detection.augmentation import augment
from facsimile.detection.detector import masked_mse
from facsimile.detection.labelled_faces import LabelledFaces
from facsimile.digests import record_digests
from facsimile.errors import FacsimileError
from facsimile.faces.aus import AUS
from facsimile.faces.picture_store import StoredPictures
from facsimile.faces.tables import to_tensor
from facsimile.measurement.metrics import mean_defined, pearson_per_au

_EVAL_BATCH = 256

# CosFace (Wang et al., 2018), with a margin and scale suited to few faces per person.
_SCALE, _MARGIN = 20.0, 0.1

_AUGMENTATION = 0.5  # light, because the training images are already varied


class AUOracle(nn.Module):
    """A small residual network with two heads: AU intensities and an identity embedding.

    Args:
        image_size: side of the images in pixels.
        widths: channels of the stages; each stage halves the resolution.
        embedding: dimension of the identity embedding.
    """

    def __init__(
        self,
        image_size: int = 64,
        widths: tuple[int, ...] = (24, 48, 96, 160),
        embedding: int = 128,
    ) -> None:
        super().__init__()
        self.config = {"image_size": image_size, "widths": list(widths), "embedding": embedding}
        layers: list[nn.Module] = []
        for before, width in zip((3, *widths), widths, strict=False):
            layers += [_convolution(before, width, stride=2), nn.SiLU()]
            # At half the resolution, a block would cost as much as all others together.
            if before > 3:
                layers.append(_Residual(width))
        features = widths[-1] * (image_size // 2 ** len(widths)) ** 2
        self.trunk = nn.Sequential(*layers, nn.Flatten())
        self.au_head = nn.Sequential(
            nn.Dropout(0.2), nn.Linear(features, 256), nn.SiLU(), nn.Linear(256, len(AUS))
        )
        self.identity_head = nn.Sequential(nn.Dropout(0.2), nn.Linear(features, embedding))
        self.to(memory_format=torch.channels_last)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """AU intensities (B, 12), unclipped, and unit-length embeddings (B, E) of float images
        (B, 3, H, W) in [-1, 1]."""
        features = self.trunk(images.contiguous(memory_format=torch.channels_last)).float()
        return self.au_head(features), F.normalize(self.identity_head(features), dim=1)

    def predict(self, images: np.ndarray | StoredPictures) -> np.ndarray:
        """AU intensities (N, 12) of `predict_with_embeddings`."""
        return self.predict_with_embeddings(images)[0]

    @torch.inference_mode()
    def predict_with_embeddings(
        self, images: np.ndarray | StoredPictures
    ) -> tuple[np.ndarray, np.ndarray]:
        """AU intensities (N, 12) and unit-length embeddings (N, E) of uint8 images (N, H, W, 3).

        Both are averaged over the face and its mirror image.

        Raises:
            FacsimileError: the images differ in size from the training images.
        """
        size = self.config["image_size"]
        if images.shape[1:] != (size, size, 3):
            raise FacsimileError(f"oracle: images are {images.shape[1:]}, not {(size, size, 3)}")
        self.eval()
        device = next(self.parameters()).device
        aus, embeddings = [], []
        for start in range(0, len(images), _EVAL_BATCH):
            batch = to_tensor(images[start : start + _EVAL_BATCH]).to(device)
            views = [self(view) for view in (batch, batch.flip(-1))]
            aus.append(sum(au for au, _ in views).div(2).cpu())
            embeddings.append(F.normalize(sum(face for _, face in views), dim=1).cpu())
        return torch.cat(aus).numpy(), torch.cat(embeddings).numpy()

    def save(self, directory: str | Path) -> None:
        """Write model.safetensors (float16), config.json and their digests."""
        directory = Path(directory)
        directory.mkdir(parents=True, exist_ok=True)
        state = {
            name: value.half().contiguous() if value.is_floating_point() else value
            for name, value in self.state_dict().items()
        }
        save_file(state, directory / "model.safetensors")
        config = {**self.config, "aus": list(AUS)}
        (directory / "config.json").write_text(json.dumps(config, indent=2) + "\n")
        record_digests(directory, ("config.json", "model.safetensors"))

    @classmethod
    def load(cls, directory: str | Path, device: str = "cpu") -> "AUOracle":
        """Read what `save` wrote. Raises FacsimileError if the folder holds no oracle."""
        directory = Path(directory)
        try:
            config = json.loads((directory / "config.json").read_text())
            config.pop("aus")
            model = cls(**config)
            model.load_state_dict(load_file(directory / "model.safetensors"))
        except Exception as error:  # safetensors raises its own untyped errors
            raise FacsimileError(f"{directory}: not an oracle ({error})") from error
        return model.to(device).eval()


def _convolution(before: int, after: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(before, after, 3, stride, padding=1, bias=False), nn.BatchNorm2d(after)
    )


class _Residual(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.first, self.second = _convolution(width, width), _convolution(width, width)

    def forward(self, features: Tensor) -> Tensor:
        return F.silu(features + self.second(F.silu(self.first(features))))


def computes_bfloat16(device: str) -> bool:
    """Whether the device has fast bfloat16 convolutions.

    Without AVX-512, torch's CPU fallback takes 25 times as long as float32.
    """
    if torch.device(device).type != "cpu":
        return True
    return torch.backends.mkldnn.is_available() and torch.ops.mkldnn._is_mkldnn_bf16_supported()


@dataclass(frozen=True)
class OracleTraining:
    """Options for training an `AUOracle`; `run` trains one.

    The learning rate warms up over the first 5 % of the steps and decays to 0 along a cosine.

    Attributes:
        seed: seed of weights, order, augmentation and dropout.
        epochs, lr, batch_size: length, peak learning rate and batch size of training with AdamW.
        identity_weight: weight of the identity loss.
        autocast: run the trunk in bfloat16 if the device has fast kernels for it.
        device: "cpu" or "cuda".
    """

    seed: int
    epochs: int = 10
    lr: float = 2e-3
    batch_size: int = 32
    identity_weight: float = 0.001
    autocast: bool = True
    device: str = "cpu"

    def run(
        self,
        train: LabelledFaces,
        val: LabelledFaces,
        on_epoch: Callable[[dict[str, float]], None] = lambda row: None,
    ) -> AUOracle:
        """Train both heads together: MSE on AUs plus weighted CosFace loss on training people.

        Args:
            train: faces with subjects, several per person, so that identity can be learnt.
                Predictions of AUs without training labels are meaningless.
            val: faces of other people.
            on_epoch: called with each row of the history.

        Returns:
            The oracle, with ``history_`` (epoch, au_loss, identity_loss, val_au_loss, val_pearson).
        """
        names, people = np.unique(train.subjects, return_inverse=True)
        labels, people = torch.tensor(train.aus, dtype=torch.float32), torch.from_numpy(people)
        batch_size = min(self.batch_size, len(labels))
        autocast = self.autocast and computes_bfloat16(self.device)
        generator = torch.Generator().manual_seed(self.seed)
        history = []
        with torch.random.fork_rng():
            torch.manual_seed(self.seed)
            model = AUOracle(image_size=train.images.shape[1]).to(self.device)
            centres = nn.Parameter(
                torch.randn(len(names), model.config["embedding"], device=self.device)
            )
            optimizer = torch.optim.AdamW(
                [*model.parameters(), centres], lr=self.lr, weight_decay=0.02
            )
            steps = len(labels) // batch_size * self.epochs
            schedule = torch.optim.lr_scheduler.OneCycleLR(
                optimizer, max_lr=self.lr, total_steps=steps, pct_start=0.05, cycle_momentum=False
            )
            for epoch in range(self.epochs):
                model.train()
                losses = []
                order = torch.randperm(len(labels), generator=generator)
                for start in range(0, len(labels) - batch_size + 1, batch_size):
                    rows = order[start : start + batch_size]
                    faces = to_tensor(train.images[rows.numpy()]).to(self.device)
                    batch = augment(faces, generator, _AUGMENTATION)
                    with torch.autocast(self.device, torch.bfloat16, enabled=autocast):
                        aus, embeddings = model(batch)
                    au_loss = masked_mse(aus.float(), labels[rows].to(self.device))
                    identity_loss = cosface_loss(
                        embeddings.float(), centres, people[rows].to(self.device)
                    )
                    optimizer.zero_grad()
                    (au_loss + self.identity_weight * identity_loss).backward()
                    optimizer.step()
                    schedule.step()
                    losses.append(torch.stack([au_loss, identity_loss]).detach())
                predictions = model.predict(val.images)
                au_loss, identity_loss = torch.stack(losses).mean(0).tolist()
                row = {
                    "epoch": epoch,
                    "au_loss": au_loss,
                    "identity_loss": identity_loss,
                    "val_au_loss": mean_defined((predictions - val.aus) ** 2),
                    "val_pearson": mean_defined(pearson_per_au(val.aus, predictions)),
                }
                history.append(row)
                on_epoch(row)
        model.history_ = pd.DataFrame(history)
        return model.eval()


def cosface_loss(embeddings: Tensor, centres: Tensor, people: Tensor) -> Tensor:
    """Cross-entropy over scaled cosines to all centres, with a margin on the person's own centre.

    Args:
        embeddings: unit vectors (B, E).
        centres: one vector per person (P, E), of any length.
        people: index of each face's person (B,).
    """
    cosines = embeddings @ F.normalize(centres, dim=1).T
    margin = _MARGIN * F.one_hot(people, len(centres)).to(cosines)
    return F.cross_entropy(_SCALE * (cosines - margin), people)
