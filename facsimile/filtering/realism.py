"""Realism of generated faces according to a discriminator of real and generated faces.

A discriminator also detects traces of the generator that people cannot see, so a low score does not
mean that a face is bad, but the faces with the lowest ranks are those with artefacts. Scores are
cross-fitted by person: each face is scored by a network trained without any face of its person.
"""

from dataclasses import dataclass

import numpy as np
import torch
from sklearn.model_selection import GroupKFold
from torch import Tensor, nn
from torch.nn import functional as F

from facsimile.errors import FacsimileError
from facsimile.faces.picture_store import StoredPictures
from facsimile.faces.tables import to_tensor

_EVAL_BATCH = 256


class Discriminator(nn.Sequential):
    """Log-odds (B, 1) that faces (B, 3, H, W) in [-1, 1] are real."""

    def __init__(self, widths: tuple[int, ...] = (16, 32, 64, 128)) -> None:
        layers: list[nn.Module] = []
        for before, width in zip((3, *widths), widths, strict=False):
            layers += [
                nn.Conv2d(before, width, 3, stride=2, padding=1, bias=False),
                nn.BatchNorm2d(width),
                nn.SiLU(),
            ]
        super().__init__(
            *layers,
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Dropout(0.2),
            nn.Linear(widths[-1], 1),
        )


class RealismRanker:
    """Ranks generated faces with a `Discriminator` cross-fitted by person.

    Args:
        seed: seed of weights, order and folds.
        folds, epochs, batch_size: number of folds, and length and batch size of each training.
        device: "cpu" or "cuda".
    """

    def __init__(
        self,
        *,
        seed: int,
        folds: int = 3,
        epochs: int = 3,
        batch_size: int = 64,
        device: str = "cpu",
    ) -> None:
        self.seed = seed
        self.folds = folds
        self.epochs = epochs
        self.batch_size = batch_size
        self.device = device

    def fit_predict(
        self,
        real: np.ndarray | StoredPictures,
        real_subjects: np.ndarray,
        generated: np.ndarray | StoredPictures,
        generated_subjects: np.ndarray,
    ) -> np.ndarray:
        """Rank generated faces by realism, (N,) in (0, 1], from least (near 0) to most real (1).

        A rank is the share of generated faces in the same fold with at most the same score.

        Args:
            real, generated: uint8 (M, H, W, 3) and (N, H, W, 3), in memory or in a file.
            real_subjects, generated_subjects: M and N subject ids. An edited face has the id of
                its source, so that both are in the same fold.

        Raises:
            FacsimileError: fewer people than folds, among the real or the generated faces.
        """
        for name, subjects in (("real", real_subjects), ("generated", generated_subjects)):
            if len(np.unique(subjects)) < self.folds:
                raise FacsimileError(
                    f"realism: {len(np.unique(subjects))} people in the {name} faces, "
                    f"{self.folds} folds need at least as many"
                )
        images = _Faces(real, generated)
        is_real = np.arange(len(real) + len(generated)) < len(real)
        subjects = np.concatenate([real_subjects, generated_subjects]).astype(str)
        ranks = np.empty(len(is_real))
        splitter = GroupKFold(self.folds, shuffle=True, random_state=self.seed)
        for fold, (train, test) in enumerate(splitter.split(is_real, groups=subjects)):
            with torch.random.fork_rng():
                torch.manual_seed(self.seed + fold)
                model = _fit(
                    images, train, is_real[train], self.epochs, self.batch_size, self.device
                )
            test = test[~is_real[test]]
            scores = _score(model, images, test, self.device)
            ranks[test] = np.searchsorted(np.sort(scores), scores, "right") / max(1, len(scores))
        return ranks[len(real) :]


@dataclass(frozen=True)
class _Faces:
    """Real faces followed by generated ones, of which only those asked for are read."""

    real: np.ndarray | StoredPictures
    generated: np.ndarray | StoredPictures

    def __getitem__(self, rows: np.ndarray) -> np.ndarray:
        """Images uint8 (B, H, W, 3) of B row numbers."""
        is_real = rows < len(self.real)
        images = np.empty((len(rows), *self.generated.shape[1:]), np.uint8)
        images[is_real] = self.real[rows[is_real]]
        images[~is_real] = self.generated[rows[~is_real] - len(self.real)]
        return images


def _fit(
    images: _Faces,
    train: np.ndarray,
    is_real: np.ndarray,
    epochs: int,
    batch_size: int,
    device: str,
) -> Discriminator:
    model = Discriminator().to(device, memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    labels = torch.as_tensor(is_real, dtype=torch.float32)
    # Real and generated faces have equal total weight, regardless of their numbers.
    share = labels.mean().clamp(0.01, 0.99)
    weights = torch.where(labels == 1, 0.5 / share, 0.5 / (1 - share))
    for _ in range(epochs):
        for rows in torch.randperm(len(labels)).split(batch_size):
            if len(rows) < 2:
                continue  # a single face has no batch statistics
            batch = to_tensor(images[train[rows.numpy()]])
            batch = torch.where(torch.rand(len(rows), 1, 1, 1) < 0.5, batch.flip(-1), batch)
            scores = _logits(model, batch.to(device))
            loss = F.binary_cross_entropy_with_logits(
                scores, labels[rows].to(device), weights[rows].to(device)
            )
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return model.eval()


@torch.inference_mode()
def _score(model: Discriminator, images: _Faces, test: np.ndarray, device: str) -> np.ndarray:
    parts = [test[start : start + _EVAL_BATCH] for start in range(0, len(test), _EVAL_BATCH)]
    scores = [_logits(model, to_tensor(images[rows]).to(device)).cpu() for rows in parts]
    return torch.cat(scores).numpy() if scores else np.empty(0)


def _logits(model: Discriminator, batch: Tensor) -> Tensor:
    return model(batch.contiguous(memory_format=torch.channels_last))[:, 0]
