"""NNCLR: pretraining of the detector's backbone on faces without labels.

Source: Dwibedi et al., "With a Little Help from My Friends", ICCV 2021, which "Controlled Face
Manipulation and Synthesis for Data Augmentation" compares generated faces with (IV-D2, Fig. 11).
Two views of a face must agree, where one is replaced by its nearest neighbour in a support set of
recent embeddings.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.transforms.v2.functional import gaussian_blur

from facsimile.detection.detector import AUDetector, BalancedBatches
from facsimile.errors import FacsimileError
from facsimile.faces.picture_store import StoredPictures
from facsimile.faces.tables import to_tensor

_FEATURES = 576  # of MobileNetV3-Small, pooled
_HIDDEN = 512
_EMBEDDING = 128

_SIDE = (0.7, 1.0)  # of the crop, as a share of the image side
_SHIFT = 0.1  # of the crop's centre, as a share of half the image side
_CONTRAST = (0.25, 0.5)  # standard deviation of the pixels, in units of the [-1, 1] range
_BRIGHTNESS = 0.3
_TINT = 0.1
_GREY = 0.2  # share of the views without colour
_BLUR = 1.0  # pixels

_WEIGHT_DECAY = 0.01
_HISTORY_STEPS = 50


@dataclass(frozen=True)
class NNCLRTraining:
    """Options for pretraining the backbone of an `AUDetector`; `run` pretrains one.

    As published, a projection head of three layers and a prediction head of two, with BatchNorm;
    the loss is InfoNCE over the batch, between the neighbours of one view and the predictions of
    the other, both ways; the support set is a queue of embeddings of the first views.

    Published trainings see 224 px images in batches of 4096 for 1000 epochs, this one 64 px faces
    for minutes on a CPU. Therefore, heads and support set are smaller, AdamW with a short warm-up
    and cosine decay replaces LARS, and the support set starts with the first batch instead of
    random vectors. Faces are aligned, so views are cropped and blurred less.

    Attributes:
        seed: seed of weights, order and views.
        steps: number of batches.
        batch_size: faces per step, of which each gives two views.
        queue: embeddings in the support set.
        lr: peak learning rate.
        temperature: divisor of the cosines in the loss.
        device: "cpu" or "cuda".
    """

    seed: int
    steps: int = 1000
    batch_size: int = 64
    queue: int = 1024
    lr: float = 6e-3
    temperature: float = 0.1
    device: str = "cpu"

    def run(
        self,
        images: np.ndarray | StoredPictures,
        on_step: Callable[[int], None] = lambda step: None,
    ) -> AUDetector:
        """Pretrain on faces without labels.

        Args:
            images: uint8 (N, H, W, 3), in memory or in a file.
            on_step: called with the number of steps done.

        Returns:
            A detector whose ``net.features`` are pretrained and whose linear layers are random,
            with ``history_`` (step, loss), one row for every 50 steps, over which the loss is
            averaged.

        Raises:
            FacsimileError: fewer faces than a batch has.
        """
        if len(images) < self.batch_size:
            raise FacsimileError(
                f"nnclr: {len(images)} faces are fewer than a batch of {self.batch_size}"
            )
        batches = BalancedBatches(np.zeros(len(images), bool))
        generator = torch.Generator().manual_seed(self.seed)
        history, losses = [], []
        with torch.random.fork_rng():
            torch.manual_seed(self.seed)
            detector = AUDetector(images.shape[1])
            classifier, detector.net.classifier = detector.net.classifier, _projection()
            model = nn.ModuleList([detector, _prediction()]).to(self.device).train()
            encoder, predictor = model
            optimizer = torch.optim.AdamW(
                model.parameters(), lr=self.lr, weight_decay=_WEIGHT_DECAY, fused=True
            )
            schedule = torch.optim.lr_scheduler.OneCycleLR(
                optimizer, self.lr, self.steps, pct_start=0.1, cycle_momentum=False
            )
            for step in range(1, self.steps + 1):
                rows = batches.draw(self.batch_size, generator)
                faces = to_tensor(images[rows.numpy()]).to(self.device)
                pairs = views(torch.cat([faces, faces]), generator)
                embeddings = encoder(pairs)
                first, second = F.normalize(predictor(embeddings), dim=1).chunk(2)
                keys = F.normalize(embeddings.detach(), dim=1).chunk(2)
                if step == 1:
                    support = keys[0]
                loss = (
                    self._loss(nearest(keys[0], support), second)
                    + self._loss(nearest(keys[1], support), first)
                ) / 2
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                schedule.step()
                support = torch.cat([keys[0], support])[: self.queue]
                losses.append(loss.detach())
                if step % _HISTORY_STEPS == 0 or step == self.steps:
                    history.append({"step": step, "loss": torch.stack(losses).mean().item()})
                    losses.clear()
                on_step(step)
        detector.net.classifier = classifier.to(self.device)
        detector.history_ = pd.DataFrame(history)
        return detector.eval()

    def _loss(self, neighbours: Tensor, predictions: Tensor) -> Tensor:
        """InfoNCE of unit vectors (B, E), whose matching rows belong to the same face."""
        similarity = neighbours @ predictions.T / self.temperature
        return F.cross_entropy(similarity, torch.arange(len(similarity), device=similarity.device))


def nearest(embeddings: Tensor, support: Tensor) -> Tensor:
    """The most similar row of the support set (Q, E) for each embedding (B, E), unit vectors."""
    return support[(embeddings @ support.T).argmax(1)]


def views(faces: Tensor, generator: torch.Generator) -> Tensor:
    """One random view of each face: mirrored, cropped, recoloured and blurred.

    AUs are symmetric, so mirroring keeps them. Mean and contrast are drawn anew rather than
    changed, because a view would otherwise be recognised by skin, light and background alone.

    Args:
        faces: float (B, 3, H, W) in [-1, 1].
        generator: CPU generator of the draws, which are independent for each face.

    Returns:
        New images of the same shape and range.
    """

    def uniform(low: float, high: float, channels: int = 1) -> Tensor:
        draws = torch.rand(len(faces), channels, 1, 1, generator=generator)
        return (low + (high - low) * draws).to(faces)

    side, mirror = uniform(*_SIDE), uniform(-1, 1).sign()
    rows = torch.cat([mirror * side, side, uniform(-_SHIFT, _SHIFT, 2)], dim=1).flatten(1)
    zero = torch.zeros_like(rows[:, 0])
    theta = torch.stack([rows[:, 0], zero, rows[:, 2], zero, rows[:, 1], rows[:, 3]], dim=1)
    grid = F.affine_grid(theta.view(-1, 2, 3), list(faces.shape), align_corners=False)
    faces = F.grid_sample(faces, grid, padding_mode="border", align_corners=False)

    grey = faces.mean(1, keepdim=True)
    faces = torch.where(uniform(0, 1) < _GREY, grey, faces)
    deviation = faces.std((1, 2, 3), keepdim=True).clamp(min=0.01)
    faces = (faces - faces.mean((2, 3), keepdim=True)) / deviation * uniform(*_CONTRAST)
    faces = faces + uniform(-_BRIGHTNESS, _BRIGHTNESS) + uniform(-_TINT, _TINT, 3)
    blurred = gaussian_blur(faces, [5, 5], [_BLUR, _BLUR])
    return torch.lerp(faces, blurred, uniform(0, 1)).clamp(-1, 1)


def _projection() -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(_FEATURES, _HIDDEN, bias=False),
        nn.BatchNorm1d(_HIDDEN),
        nn.ReLU(),
        nn.Linear(_HIDDEN, _HIDDEN, bias=False),
        nn.BatchNorm1d(_HIDDEN),
        nn.ReLU(),
        nn.Linear(_HIDDEN, _EMBEDDING, bias=False),
        nn.BatchNorm1d(_EMBEDDING),
    )


def _prediction() -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(_EMBEDDING, _HIDDEN, bias=False),
        nn.BatchNorm1d(_HIDDEN),
        nn.ReLU(),
        nn.Linear(_HIDDEN, _EMBEDDING),
    )
