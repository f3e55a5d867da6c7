"""The downstream AU detector: MobileNetV3-Small from scratch, 12 intensities.

Source: "Controlled Face Manipulation and Synthesis for Data Augmentation", IV-A: MobileNetV3-Small,
randomly initialized, Adam. Differently from there, the learning rate warms up and decays to zero,
there is no dropout, and augmentation is slight, as trainings of some 1000 steps need. Nor is there
early stopping: where generated faces join, weights of the lowest validation loss often come from
before the decay, and detected no better, in some runs much worse, than those of the end.

The network was designed for 224 px, where its five strides leave 7 × 7 features. Faces of the
working resolution are 64 px, so the first of those strides is dropped. Dropping a later one costs
less time a step, but lids and lip corners are a few pixels: with the third dropped instead, twice
the steps teach less. What is saved instead is the margin of the picture, hair and background, which
no AU moves: half as many steps again fit into the same time. It also starts as a shallower network
than torchvision's, with which the first hundreds of those steps teach nothing but the mean (see
`AUDetector`).
"""

import json
from dataclasses import dataclass
from pathlib import Path

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
from facsimile.faces.tables import to_tensor
from facsimile.measurement.metrics import choose_thresholds

_EVAL_BATCH = 256
_AUGMENTATION = 0.3
_WEIGHT_DECAY = 0.2
"""Real faces alone are learnt as well with a tenth of it, generated ones beside them are not."""
_MARGIN = 1 / 8
"""Of the side of an aligned face, on each of its edges: hair and background lie there."""


class AUDetector(nn.Module):
    """AU intensities of faces, and per AU the threshold from which it counts as detected.

    The threshold of an AU that it has not learnt is NaN, and so are its predictions.

    Residual branches start at zero (Goyal et al., arXiv:1706.02677, 5.1), and the two linear layers
    with the variance that carries a signal: torchvision's 0.01 for both leaves next to none.
    """

    def __init__(self) -> None:
        super().__init__()
        self.net = mobilenet_v3_small(num_classes=len(AUS), dropout=0.0)
        self.net.features[0][0].stride = (1, 1)
        for module in self.net.modules():
            # torchvision's 0.01 follows the weights too slowly for trainings of a few 1000 steps.
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
        top, left = (round(_MARGIN * side) for side in images.shape[-2:])
        faces = images[..., top : images.shape[-2] - top, left : images.shape[-1] - left]
        return self.net(faces.contiguous(memory_format=torch.channels_last))

    @torch.inference_mode()
    def predict(self, images: np.ndarray) -> np.ndarray:
        """AU intensities (N, 12) float32, unclipped, of uint8 images (N, H, W, 3).

        NaN for AUs that it has not learnt.
        """
        self.eval()
        device = self.thresholds.device
        batches = [
            self(to_tensor(images[start : start + _EVAL_BATCH]).to(device)).float().cpu()
            for start in range(0, len(images), _EVAL_BATCH)
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
        config = {"architecture": "mobilenet_v3_small", "aus": list(AUS), "thresholds": thresholds}
        (directory / "config.json").write_text(json.dumps(config, indent=2) + "\n")

    @classmethod
    def load(cls, directory: str | Path) -> "AUDetector":
        """Read a detector that `save` wrote. Raises FacsimileError if it is not one."""
        model = cls()
        path = Path(directory) / "model.safetensors"
        try:
            model.load_state_dict(load_file(path))
        except Exception as error:  # safetensors raises its own untyped errors
            raise FacsimileError(f"{path}: not an AU detector ({error})") from error
        return model.eval()


@dataclass(frozen=True)
class DetectorTraining:
    """Options of a training of `AUDetector`; `fit` runs it.

    All arms see real faces equally often. Generated ones come in addition, as many in a batch as
    real ones: there are fewer real faces, but their labels are exact.

    Attributes:
        seed: of weights, order and augmentation.
        reweight: weigh each AU by the inverse of its frequency in the training set (IV-D2).
        lr: of AdamW; reached after 0.3 of the steps, then falling along a cosine.
        batch_size: faces of each kind in a step.
        epoch_faces: faces of each kind in an epoch, for which the history has a row.
        epochs: length of the training.
        device: "cpu" or "cuda".
    """

    seed: int
    reweight: bool = False
    lr: float = 6e-3
    batch_size: int = 32
    epoch_faces: int = 2560
    epochs: int = 15
    device: str = "cpu"

    def fit(self, train: LabelledFaces, val: LabelledFaces) -> AUDetector:
        """Train a detector; its thresholds are chosen on the validation faces.

        It learns the AUs that training faces are annotated for and returns NaN for the others.

        Args:
            train, val: faces of different people.

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
        batches = _BalancedBatches(none if train.generated is None else train.generated)
        weights = inverse_frequency(train.aus) if self.reweight else torch.ones(len(AUS))
        generator = torch.Generator().manual_seed(self.seed)
        with torch.random.fork_rng():
            torch.manual_seed(self.seed)
            model = AUDetector()
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


class _BalancedBatches:
    """Batches of row numbers, with as many real as generated rows if there are both.

    Each kind is visited in an order of its own, which is drawn again when it is used up.
    """

    def __init__(self, generated: np.ndarray) -> None:
        pools = [np.flatnonzero(~generated), np.flatnonzero(generated)]
        self.pools = [torch.from_numpy(pool) for pool in pools if len(pool)]
        self.orders = [torch.empty(0, dtype=torch.long)] * len(self.pools)

    def draw(self, size: int, generator: torch.Generator) -> Tensor:
        """Rows, `size` of each kind, the generated ones last."""
        rows = []
        for kind, pool in enumerate(self.pools):
            order = self.orders[kind]
            while len(order) < size:
                order = torch.cat([order, pool[torch.randperm(len(pool), generator=generator)]])
            rows.append(order[:size])
            self.orders[kind] = order[size:]
        return torch.cat(rows)


def masked_mse(
    predictions: Tensor,
    labels: Tensor,
    presence_only: Tensor | None = None,
    weights: Tensor | None = None,
) -> Tensor:
    """Mean squared error over annotated entries; 0 where none is.

    Of an AU that is only known to be present, every intensity from ``ACTIVE_THRESHOLD`` up is
    right: the error is what the prediction lacks to that threshold.

    Args:
        predictions, labels: intensities (B, 12), labels NaN where not annotated.
        presence_only: (B,) bool, faces whose labels are 0 or 1 for absent or present.
        weights: (12,) of the AUs; equal if None.
    """
    known = ~labels.isnan()
    error = predictions - labels.nan_to_num()
    if presence_only is not None:
        censored = presence_only.to(labels.device)[:, None] & (labels > 0)
        error = torch.where(censored, (ACTIVE_THRESHOLD - predictions).clamp(min=0), error)
    share = known.to(error) if weights is None else known * weights.to(error)
    return (error.square() * share).sum() / known.sum().clamp(min=1)


def inverse_frequency(aus: np.ndarray) -> Tensor:
    """Weights (12,) inversely proportional to how often each AU is active, of mean 1.

    AUs that are never active get the weight of the rarest.

    Args:
        aus: intensities (N, 12), NaN = not annotated.
    """
    active = presence(aus)
    frequency = (active == 1).sum(0) / np.maximum((~np.isnan(active)).sum(0), 1)
    weights = 1 / np.maximum(frequency, frequency[frequency > 0].min(initial=1.0))
    return torch.as_tensor(weights / weights.mean(), dtype=torch.float32)
