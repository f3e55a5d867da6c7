"""Training of the neutralization model N.

Source: "Controlled Face Manipulation and Synthesis for Data Augmentation", III-B and IV-A: MSE for
AUs and age, BCE for binary attributes, early stopping on total AU recall.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.nn import functional as F

from facsimile.editing.neutralizer import AGE, BINARY, Neutralizer
from facsimile.errors import FacsimileError
from facsimile.faces.aus import ACTIVE_THRESHOLD, AUS, NUISANCES


@dataclass(frozen=True)
class NeutralizerTraining:
    """Options for training a `Neutralizer`; `run` trains one.

    Training stops when total AU recall on the validation rows has not improved for `patience`
    epochs. Recall is taken over all AUs together, at the activation threshold. A model that reports
    everything as active would have perfect recall, so an epoch only counts once its validation AU
    loss is below that of predicting the training means; until then `patience` applies to that loss.

    The final weights are kept, not those with the highest recall: recall peaks while predictions
    are still crude, and a cruder N moves faces along directions that are not AUs.

    Attributes:
        seed: seed of initial weights, batches and dropout. Global random generators are restored.
        width, dropout: see `Neutralizer`.
        lr, batch_size: options of Adam.
        patience: epochs without improvement before stopping.
        max_epochs: upper bound on epochs.
        device: "cpu" or "cuda".
    """

    seed: int
    width: int = 512
    dropout: float = 0.2
    lr: float = 1e-3
    batch_size: int = 128
    patience: int = 15
    max_epochs: int = 200
    device: str = "cpu"

    def run(
        self, z: np.ndarray, labels: np.ndarray, z_val: np.ndarray, labels_val: np.ndarray
    ) -> Neutralizer:
        """Train a model on the AUs that at least one training face is annotated for.

        Args:
            z: normalised codes (N, D); AU-labelled and nuisance-labelled faces mixed.
            labels: (N, 16) in the order of ``AUS + NUISANCES``, NaN = not annotated.
            z_val, labels_val: the same for other subjects.

        Returns:
            The model in evaluation mode, with ``history_``: epoch, train_loss, val_au_loss,
            val_static_loss (0 without such labels in validation), recall, precision.

        Raises:
            FacsimileError: no AU labels to train on, or no active AU to measure recall on.
        """
        x, y = self._tensor(z), self._tensor(labels)
        x_val, y_val = self._tensor(z_val), self._tensor(labels_val)
        au_val = y_val[:, : len(AUS)]
        learnt = ~y[:, : len(AUS)].isnan().all(0)
        if not learnt.any():
            raise FacsimileError("neutralizer: no training face has an AU label")
        aus = [au for au, is_learnt in zip(AUS, learnt.tolist(), strict=True) if is_learnt]
        if not (au_val >= ACTIVE_THRESHOLD).any():
            raise FacsimileError(
                "neutralizer: no validation face has an active AU to measure recall on"
            )
        mean_error = float(
            _sum_of_means(
                F.mse_loss, y[:, : len(AUS)].nanmean(0).expand_as(au_val), au_val, len(aus)
            )
        )

        history, best_score, best_epoch = [], None, 0
        with torch.random.fork_rng(devices=[self.device] if self.device.startswith("cuda") else []):
            torch.manual_seed(self.seed)
            model = Neutralizer(x.shape[1], self.width, self.dropout, aus).to(self.device)
            optimizer = torch.optim.Adam(model.parameters(), lr=self.lr)
            for epoch in range(self.max_epochs):
                model.train()
                train_loss = 0.0
                for rows in (
                    torch.randperm(len(x), device="cpu").to(self.device).split(self.batch_size)
                ):
                    optimizer.zero_grad()
                    loss = sum(attribute_losses(model(x[rows]), y[rows], len(aus)))
                    loss.backward()
                    optimizer.step()
                    train_loss += float(loss.detach()) * len(rows) / len(x)

                model.eval()
                with torch.no_grad():
                    predictions = model(x_val)
                    losses = attribute_losses(predictions, y_val, len(aus))
                    au_loss, binary_loss, age_loss = map(float, losses)
                recall, precision = recall_precision(predictions[0], au_val)
                counts = au_loss < mean_error
                score = (counts, recall if counts else -au_loss)
                if best_score is None or score > best_score:
                    best_score, best_epoch = score, epoch
                history.append(
                    {
                        "epoch": epoch,
                        "train_loss": train_loss,
                        "val_au_loss": au_loss,
                        "val_static_loss": binary_loss + age_loss,
                        "recall": recall,
                        "precision": precision,
                    }
                )
                if epoch - best_epoch >= self.patience:
                    break
        model.history_ = pd.DataFrame(history)
        return model.eval()

    def _tensor(self, array: np.ndarray) -> Tensor:
        return torch.as_tensor(np.asarray(array), dtype=torch.float32, device=self.device)


def attribute_losses(
    predictions: tuple[Tensor, Tensor], labels: Tensor, learnt: int = len(AUS)
) -> tuple[Tensor, Tensor, Tensor]:
    """MSE of the AUs, BCE of the binary attributes, MSE of the age, each summed over attributes.

    Means are over annotated entries, so datasets with different labels can share a batch.

    Args:
        predictions: output of the Neutralizer.
        labels: (B, 16) in the order of ``AUS + NUISANCES``, NaN = not annotated. A term without
            annotated entries is 0.
        learnt: number of AUs with labels in the training set.
    """
    aus, static = predictions
    au_labels, static_labels = labels.split([len(AUS), len(NUISANCES)], dim=1)
    return (
        _sum_of_means(F.mse_loss, aus, au_labels, learnt),
        _sum_of_means(
            F.binary_cross_entropy_with_logits,
            static[:, BINARY],
            static_labels[:, BINARY],
            len(BINARY),
        ),
        _sum_of_means(F.mse_loss, static[:, [AGE]], static_labels[:, [AGE]], 1),
    )


def _sum_of_means(
    loss: Callable[..., Tensor], predictions: Tensor, labels: Tensor, attributes: int
) -> Tensor:
    annotated = ~labels.isnan()
    total = loss(predictions[annotated], labels[annotated], reduction="sum")
    return attributes * total / annotated.sum().clamp(min=1)


def recall_precision(
    predictions: Tensor, labels: Tensor, threshold: float = ACTIVE_THRESHOLD
) -> tuple[float, float]:
    """Recall and precision of active AUs, pooled over AUs and annotated (not NaN) entries."""
    annotated = ~labels.isnan()
    active, reported = labels[annotated] >= threshold, predictions[annotated] >= threshold
    hits = float((active & reported).sum())
    return hits / max(float(active.sum()), 1.0), hits / max(float(reported.sum()), 1.0)
