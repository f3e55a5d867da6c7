"""The downstream AU detector: MobileNetV3-Small from scratch, 12 intensities.

Source: "Controlled Face Manipulation and Synthesis for Data Augmentation", IV-A: MobileNetV3-Small,
randomly initialized, Adam. Unlike there, the learning rate warms up and decays to zero, there is no
dropout, and augmentation is light, because a training has only about 1000 steps. There is no early
stopping either: with generated faces, the lowest validation loss often occurs before the decay, and
those weights detected no better than the final ones, and in some runs much worse.

The network was designed for 224 px, where its five strides leave 7 × 7 features. Faces of less than
128 px, such as those of the embedded world, get another `layout`: the first stride is removed.
Removing a later one is cheaper per step, but eyelids and lip corners span only a few pixels: with
the third stride removed instead, even twice as many steps learn less. To save time, the margin of
the image (hair and background, which no AU moves) is cropped, which allows 1.5 times as many steps
in the same time. Residual branches start at zero, because with torchvision's initialization the
first few hundred steps learn only the mean (see `AUDetector`).
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torchvision.models import mobilenet_v3_small
from torchvision.models.mobilenetv3 import InvertedResidual

from facsimile.detection.augmentation import augment
from facsimile.detection.labelled_faces import LabelledFaces
from facsimile.errors import FacsimileError
from facsimile.faces.annotation import presence
from facsimile.faces.aus import ACTIVE_THRESHOLD, AUS
from facsimile.faces.picture_store import StoredPictures
from facsimile.faces.tables import to_tensor
from facsimile.measurement.metrics import choose_thresholds

EVAL_BATCH = 256
_AUGMENTATION = 0.3
_WEIGHT_DECAY = 0.2
"""A tenth of it suffices for real faces alone, but not together with generated faces."""


class Layout(NamedTuple):
    """How the network treats faces of some size.

    Attributes:
        stride: of the first convolution.
        margin: share of the face cropped at each edge.
    """

    stride: int
    margin: float


def layout(size: int) -> Layout:
    """Layout for faces of `size` × `size` pixels: as published from 128 px on, see above."""
    return Layout(2, 0.0) if size >= 128 else Layout(1, 1 / 8)


class AUDetector(nn.Module):
    """Predicts AU intensities, and holds for each AU the threshold for counting as detected.

    Thresholds and predictions are NaN for AUs that it has not learnt.

    Args:
        size: side of the faces, pixels; it decides the `layout`.

    Residual branches start at zero (Goyal et al., arXiv:1706.02677, 5.1). The two linear layers use
    PyTorch's default initialization, because torchvision's standard deviation of 0.01 lets almost
    no signal through.
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size
        self.layout = layout(size)
        self.net = mobilenet_v3_small(num_classes=len(AUS), dropout=0.0)
        self.net.features[0][0].stride = (self.layout.stride, self.layout.stride)
        for module in self.net.modules():
            # torchvision's 0.01 is too slow for trainings of a few thousand steps.
            if isinstance(module, nn.BatchNorm2d):
                module.momentum = 0.1
            elif isinstance(module, InvertedResidual) and module.use_res_connect:
                nn.init.zeros_(module.block[-1][1].weight)
            elif isinstance(module, nn.Linear):
                module.reset_parameters()
        self.register_buffer("thresholds", torch.full((len(AUS),), ACTIVE_THRESHOLD))
        self.to(memory_format=torch.channels_last)

    def forward(self, images: Tensor) -> Tensor:
        """AU intensities (B, 12), unclipped, of float images (B, 3, H, W) in [-1, 1]."""
        top, left = (round(self.layout.margin * side) for side in images.shape[-2:])
        faces = images[..., top : images.shape[-2] - top, left : images.shape[-1] - left]
        return self.net(faces.contiguous(memory_format=torch.channels_last))

    @torch.inference_mode()
    def predict(self, images: np.ndarray | StoredPictures) -> np.ndarray:
        """AU intensities (N, 12) float32, unclipped, of uint8 images (N, H, W, 3).

        NaN for AUs that the detector has not learnt.
        """
        self.eval()
        device = self.thresholds.device
        batches = [
            self(to_tensor(images[start : start + EVAL_BATCH]).to(device)).float().cpu()
            for start in range(0, len(images), EVAL_BATCH)
        ]
        if not batches:
            return np.empty((0, len(AUS)), np.float32)
        predictions = torch.cat(batches).numpy()
        predictions[:, self.thresholds.isnan().cpu().numpy()] = np.nan
        return predictions

    def save(self, directory: str | Path) -> None:
        """Write model.safetensors and config.json."""
        directory = Path(directory)
        directory.mkdir(parents=True, exist_ok=True)
        state = {name: value.contiguous() for name, value in self.state_dict().items()}
        save_file(state, directory / "model.safetensors")
        values = [None if value != value else value for value in self.thresholds.tolist()]
        thresholds = dict(zip(AUS, values, strict=True))
        config = {
            "architecture": "mobilenet_v3_small",
            "image_size": self.size,
            "aus": list(AUS),
            "thresholds": thresholds,
        }
        (directory / "config.json").write_text(json.dumps(config, indent=2) + "\n")

    @classmethod
    def load(cls, directory: str | Path) -> "AUDetector":
        """Read what `save` wrote. Raises FacsimileError if the file is not a detector."""
        path = Path(directory) / "model.safetensors"
        try:
            config = json.loads((path.parent / "config.json").read_text())
            model = cls(config["image_size"])
            model.load_state_dict(load_file(path))
        except Exception as error:  # safetensors raises its own untyped errors
            raise FacsimileError(f"{path}: not an AU detector ({error})") from error
        return model.eval()


@dataclass(frozen=True)
class DetectorTraining:
    """Options for training an `AUDetector`; `run` trains one.

    A step costs the same in all arms. If there are generated faces, they are half of each batch,
    however many there are: the labels of real faces are exact.

    Attributes:
        seed: seed of weights, order and augmentation.
        reweight: weight each AU by its inverse frequency in the training set (IV-D2).
        lr: peak learning rate of AdamW, reached after 30 % of the steps, followed by cosine decay.
        batch_size: faces per step. With generated faces, half of them are generated; of an odd
            number, the larger half is real.
        epoch_faces: faces per epoch. The history has one row per epoch.
        epochs: number of epochs.
        device: "cpu" or "cuda".
    """

    seed: int
    reweight: bool = False
    lr: float = 6e-3
    batch_size: int = 32
    epoch_faces: int = 2560
    epochs: int = 15
    device: str = "cpu"

    def run(
        self, train: LabelledFaces, val: LabelledFaces, initial: AUDetector | None = None
    ) -> AUDetector:
        """Train a detector and choose its thresholds on the validation faces.

        It learns the AUs that at least one training face is annotated for.

        Args:
            train, val: faces of different people.
            initial: detector whose convolutional weights and BatchNorm statistics training starts
                from, for example pretrained without labels (IV-D2); None for random weights. The
                linear layers always start at random.

        Returns:
            The detector, with ``history_`` (epoch, train_loss), one row per epoch.

        Raises:
            FacsimileError: a split is empty or has no AU label.
        """
        for name, faces in (("train", train), ("val", val)):
            labelled = np.isfinite(faces.aus).any(1).sum()
            if len(faces.images) != len(faces.aus) or not labelled:
                raise FacsimileError(
                    f"detector: {name}: {len(faces.images)} images, {labelled} labelled"
                )
        none = np.zeros(len(train.aus), bool)
        presence_only = torch.as_tensor(
            none if train.presence_only is None else train.presence_only
        )
        learnt = ~np.isnan(train.aus).all(axis=0)
        batches = BalancedBatches(none if train.generated is None else train.generated)
        weights = inverse_frequency(train.aus) if self.reweight else torch.ones(len(AUS))
        generator = torch.Generator().manual_seed(self.seed)
        with torch.random.fork_rng():
            torch.manual_seed(self.seed)
            model = AUDetector(train.images.shape[1])
            if initial is not None:
                model.net.features.load_state_dict(initial.net.features.state_dict())
            labels = torch.tensor(train.aus, dtype=torch.float32)
            with torch.no_grad():
                model.net.classifier[-1].bias.copy_(labels.nanmean(0).nan_to_num())
            model.to(self.device)
            optimizer = torch.optim.AdamW(
                model.parameters(), lr=self.lr, weight_decay=_WEIGHT_DECAY, fused=True
            )
            steps = max(self.epoch_faces // self.batch_size, 1)
            schedule = torch.optim.lr_scheduler.OneCycleLR(
                optimizer,
                max_lr=self.lr,
                total_steps=steps * self.epochs,
                pct_start=0.3,
                cycle_momentum=False,
            )
            history = []
            for epoch in range(self.epochs):
                model.train()
                losses = []
                for _ in range(steps):
                    rows = batches.draw(self.batch_size, generator)
                    faces = to_tensor(train.images[rows.numpy()]).to(self.device)
                    batch = augment(faces, generator, _AUGMENTATION)
                    loss = masked_mse(
                        model(batch), labels[rows].to(self.device), presence_only[rows], weights
                    )
                    optimizer.zero_grad()
                    loss.backward()
                    optimizer.step()
                    schedule.step()
                    losses.append(loss.detach())
                train_loss = torch.stack(losses).mean().item()
                history.append({"epoch": epoch, "train_loss": train_loss})
        thresholds = choose_thresholds(val.aus, model.predict(val.images))
        model.thresholds.copy_(torch.from_numpy(np.where(learnt, thresholds, np.nan)))
        model.history_ = pd.DataFrame(history)
        return model.eval()


class BalancedBatches:
    """Batches of row numbers, half of them of generated faces if there are both kinds.

    Each kind has its own shuffled order and is reshuffled when exhausted.
    """

    def __init__(self, generated: np.ndarray) -> None:
        pools = [np.flatnonzero(~generated), np.flatnonzero(generated)]
        self.pools = [torch.from_numpy(pool) for pool in pools if len(pool)]
        self.orders = [torch.empty(0, dtype=torch.long)] * len(self.pools)

    def draw(self, size: int, generator: torch.Generator) -> Tensor:
        """`size` rows, generated ones last. Of an odd number, the larger half is real."""
        rows = []
        for kind, pool in enumerate(self.pools):
            order, count = self.orders[kind], len(range(kind, size, len(self.pools)))
            while len(order) < count:
                order = torch.cat([order, pool[torch.randperm(len(pool), generator=generator)]])
            rows.append(order[:count])
            self.orders[kind] = order[count:]
        return torch.cat(rows)


def masked_mse(
    predictions: Tensor,
    labels: Tensor,
    presence_only: Tensor | None = None,
    weights: Tensor | None = None,
) -> Tensor:
    """Mean squared error over annotated entries; 0 if there are none.

    If an AU is only known to be present, any intensity of at least ``ACTIVE_THRESHOLD`` is right,
    and the error is how far the prediction falls short of it.

    Args:
        predictions, labels: intensities (B, 12); labels are NaN where not annotated.
        presence_only: (B,) bool, faces whose labels are 0 or 1 for absent or present.
        weights: weight of each AU (12,); None for equal weights.
    """
    annotated = ~labels.isnan()
    error = predictions - labels.nan_to_num()
    if presence_only is not None:
        censored = presence_only.to(labels.device)[:, None] & (labels > 0)
        error = torch.where(censored, (ACTIVE_THRESHOLD - predictions).clamp(min=0), error)
    factors = annotated.to(error) if weights is None else annotated * weights.to(error)
    return (error.square() * factors).sum() / annotated.sum().clamp(min=1)


def inverse_frequency(aus: np.ndarray) -> Tensor:
    """Weights (12,) with mean 1, inversely proportional to how often each AU is active.

    AUs that are never active get the weight of the rarest AU.

    Args:
        aus: intensities (N, 12), NaN = not annotated.
    """
    active = presence(aus)
    frequency = (active == 1).sum(0) / np.maximum((~np.isnan(active)).sum(0), 1)
    weights = 1 / np.maximum(frequency, frequency[frequency > 0].min(initial=1.0))
    return torch.as_tensor(weights / weights.mean(), dtype=torch.float32)
