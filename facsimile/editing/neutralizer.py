"""The neutralization model N, and driving a face's code to zero AU activity with it.

Source: "Controlled Face Manipulation and Synthesis for Data Augmentation", III-B, IV-A, Fig. 14
and Eq. (1):

    min_z  L(N(z), y*) + λ ||z − z_0||²

    z_0      normalised code of the face          λ    0.004
    y*       AUs: 0; static attributes: what N predicts at z_0
    L        sum over attributes of squared differences; binary attributes are compared as logits,
             whose gradients do not vanish where the sigmoid saturates

With L a sum, one AU at the activation threshold 0.1 still counts 0.01, five times the decrease at
which optimization stops.
"""

import copy
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from safetensors import safe_open
from safetensors.torch import load_model, save_model
from torch import Tensor, nn
from torch.nn import functional as F

from facsimile.errors import FacsimileError
from facsimile.faces.aus import ACTIVE_THRESHOLD, AUS, NUISANCES

BINARY = [index for index, name in enumerate(NUISANCES) if name != "age"]
AGE = NUISANCES.index("age")

WINDOW = 50  # steps of the moving average of the objective
HORIZON = 150  # steps over which it must fall …
MIN_DECREASE = 0.002  # … by more than this


class Neutralizer(nn.Module):
    """Fully connected AU and attribute predictor on normalised codes (Fig. 14).

    A shared layer splits into a dynamic branch for the 12 AUs and a static branch for eyeglasses,
    beard, male and age; every attribute has its own FC-512 layer. SiLU follows each layer.

    Args:
        z_dim: dimension of a code.
        width: width of every layer.
        dropout: rate on the latent code.
        aus: AUs it learns. It predicts 0 for others, so that they move no code.
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
        """AU intensities (B, 12) and static attributes (B, 4): logits, and for age a value."""
        shared = F.silu(self.trunk(self.dropout(z)))
        return self.learnt * self.dynamic(shared), self.static(shared)

    @torch.inference_mode()
    def predict(self, z: np.ndarray) -> np.ndarray:
        """AU intensities (N, 12) float32 of normalised codes (N, D)."""
        device = next(self.parameters()).device
        return self.eval()(_tensor(z, device))[0].cpu().numpy()

    def save(self, path: str | Path) -> None:
        """Write weights and config as one safetensors file."""
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        save_model(self, str(path), metadata={"config": json.dumps(self.config)})

    @classmethod
    def load(cls, path: str | Path) -> "Neutralizer":
        try:
            with safe_open(str(path), "pt") as file:
                config = json.loads(file.metadata()["config"])
            model = cls(**config)
            load_model(model, str(path))
        except Exception as error:  # safetensors raises its own untyped errors
            raise FacsimileError(f"{path}: not a neutralization model ({error})") from error
        return model.eval()


class _Branch(nn.Module):
    """One FC layer, then per attribute an FC layer of its own and a single output."""

    def __init__(self, width: int, attributes: int) -> None:
        super().__init__()
        self.shared = nn.Linear(width, width)
        # The attributes' own layers all read the same input: one product computes them together.
        self.own = nn.Linear(width, attributes * width)
        self.readout = nn.Parameter(torch.empty(attributes, width))
        self.bias = nn.Parameter(torch.zeros(attributes))
        nn.init.uniform_(self.readout, -(width**-0.5), width**-0.5)

    def forward(self, features: Tensor) -> Tensor:
        own = F.silu(self.own(F.silu(self.shared(features))))
        return (own.unflatten(1, self.readout.shape) * self.readout).sum(-1) + self.bias


def attribute_losses(
    predictions: tuple[Tensor, Tensor], labels: Tensor, learnt: int = len(AUS)
) -> tuple[Tensor, Tensor, Tensor]:
    """MSE of the AUs, BCE of the binary attributes, MSE of the age, each summed over attributes.

    Means are over annotated entries, so sets with different labels can share a batch.

    Args:
        predictions: output of the Neutralizer.
        labels: (B, 16) in the order of ``AUS + NUISANCES``, NaN = not annotated. A term without
            annotated entries is 0.
        learnt: number of AUs that have labels at all.
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


def _sum_of_means(loss, predictions: Tensor, labels: Tensor, attributes: int) -> Tensor:
    known = ~labels.isnan()
    total = loss(predictions[known], labels[known], reduction="sum")
    return attributes * total / known.sum().clamp(min=1)


@dataclass(frozen=True)
class NeutralizerTraining:
    """Options of a training of `Neutralizer`; `fit` runs it.

    Training ends when total AU recall on the validation rows has not improved for `patience`
    epochs. Recall is that of all AUs together, at the activation threshold. A model that reports
    everything as active would have perfect recall, so an epoch only counts once its validation AU
    loss is below that of the training means; until then `patience` follows that loss.

    The weights are those at termination, not those of the highest recall: recall peaks while
    predictions are still crude, and a cruder N moves faces along directions that are not AUs.

    Attributes:
        seed: of initial weights, batches and dropout; the global generators are left untouched.
        width, dropout: see `Neutralizer`.
        lr, batch_size: of Adam.
        patience: epochs without improvement.
        max_epochs: upper bound.
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

    def fit(
        self, z: np.ndarray, labels: np.ndarray, z_val: np.ndarray, labels_val: np.ndarray
    ) -> Neutralizer:
        """Train a model. AUs that no training face is annotated for are not learnt.

        Args:
            z: normalised codes (N, D); rows of AU-labelled and of nuisance-labelled sets mixed.
            labels: (N, 16) in the order of ``AUS + NUISANCES``, NaN = not annotated.
            z_val, labels_val: rows of other subjects.

        Returns:
            The model in evaluation mode, with ``history_``: epoch, train_loss, val_au_loss,
            val_static_loss (0 where validation has no such labels), recall, precision.

        Raises:
            FacsimileError: no AU labels to train on, or no active AU to measure recall on.
        """
        x, y = _tensor(z, self.device), _tensor(labels, self.device)
        x_val, y_val = _tensor(z_val, self.device), _tensor(labels_val, self.device)
        au_val = y_val[:, : len(AUS)]
        learnt = ~y[:, : len(AUS)].isnan().all(0)
        if not learnt.any():
            raise FacsimileError("neutralizer: no training face has an AU label")
        aus = [au for au, yes in zip(AUS, learnt.tolist(), strict=True) if yes]
        if not (au_val >= ACTIVE_THRESHOLD).any():
            raise FacsimileError("neutralizer: no validation face has an active AU to recall")
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
                useful = au_loss < mean_error
                score = (useful, recall if useful else -au_loss)
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


def recall_precision(
    predictions: Tensor, labels: Tensor, threshold: float = ACTIVE_THRESHOLD
) -> tuple[float, float]:
    """Recall and precision of active AUs, pooled over AUs and annotated entries (NaN = neither)."""
    known = ~labels.isnan()
    active, reported = labels[known] >= threshold, predictions[known] >= threshold
    hits = float((active & reported).sum())
    return hits / max(float(active.sum()), 1.0), hits / max(float(reported.sum()), 1.0)


@dataclass(frozen=True)
class Neutralized:
    """Result of `neutralize` for N faces.

    Attributes:
        z: neutral codes, (N, D) float32.
        aus_before, aus_after: AUs as N predicts them, (N, 12); 0 for those that it has not learnt.
        static_shift: change of the static attributes, (N, 4): probabilities, and age.
        steps: steps taken, (N,) int.
        converged: (N,) bool; False where `max_steps` came first.
    """

    z: np.ndarray
    aus_before: np.ndarray
    aus_after: np.ndarray
    static_shift: np.ndarray
    steps: np.ndarray
    converged: np.ndarray


def neutralize(
    model: Neutralizer,
    z: np.ndarray,
    *,
    proximity: float = 0.004,
    lr: float = 0.02,
    max_steps: int = 2000,
) -> Neutralized:
    """Minimise Eq. (1) over z with Adam, for a batch of faces at once.

    Faces do not influence one another, and one that has converged leaves the batch. A face has
    converged when the 50-step mean of its objective lies no more than 0.002 below the 50-step mean
    150 steps earlier, looked up every 50 steps.

    Adam turns even the round-off of a vanishing gradient into a step of full size, and round-off
    depends on the size of the batch. Hence double precision: a face's result is its own.

    Args:
        model: trained N; its weights are not touched.
        z: normalised codes z_0, (N, D).
        proximity: λ.
        lr: step size of Adam.
        max_steps: upper bound on steps.
    """
    device = next(model.parameters()).device
    if device.type == "mps":  # which has no double precision
        device = torch.device("cpu")
    frozen = copy.deepcopy(model).eval().requires_grad_(False).to(device).double()
    origin = _tensor(z, device).double()
    with torch.no_grad():
        aus_before, static_before = frozen(origin)

    result = origin.clone()
    steps = torch.zeros(len(origin), dtype=torch.long)
    converged = torch.zeros(len(origin), dtype=torch.bool)

    rows = torch.arange(len(origin), device=device)  # faces still in the batch
    current = origin.clone()
    momentum, variance = torch.zeros_like(current), torch.zeros_like(current)
    window = current.new_zeros(len(origin))
    means: list[Tensor] = []  # of the last HORIZON / WINDOW + 1 windows
    for step in range(1, max_steps + 1):
        current.requires_grad_(True)
        aus, static = frozen(current)
        objective = (
            aus.square().sum(1)
            + (static - static_before[rows]).square().sum(1)
            + proximity * (current - origin[rows]).square().sum(1)
        )
        (gradient,) = torch.autograd.grad(objective.sum(), current)
        # Adam, written out because rows leave together with their moments.
        momentum = momentum.lerp(gradient, 0.1)
        variance = variance.lerp(gradient.square(), 0.001)
        scale = (variance / (1 - 0.999**step)).sqrt() + 1e-8
        current = current.detach() - lr * momentum / (1 - 0.9**step) / scale
        result[rows], steps[rows.cpu()] = current, step

        window += objective.detach() / WINDOW
        if step % WINDOW:
            continue
        means = [*means, window][-(HORIZON // WINDOW + 1) :]
        window = torch.zeros_like(window)
        if len(means) * WINDOW <= HORIZON:
            continue
        done = means[0] - means[-1] <= MIN_DECREASE
        converged[rows[done].cpu()] = True
        stay = ~done
        if not stay.any():
            break
        rows, current, window = rows[stay], current[stay], window[stay]
        momentum, variance = momentum[stay], variance[stay]
        means = [mean[stay] for mean in means]

    with torch.no_grad():
        aus_after, static_after = frozen(result)
    shift = static_after - static_before
    shift[:, BINARY] = static_after[:, BINARY].sigmoid() - static_before[:, BINARY].sigmoid()
    return Neutralized(
        z=result.float().cpu().numpy(),
        aus_before=aus_before.float().cpu().numpy(),
        aus_after=aus_after.float().cpu().numpy(),
        static_shift=shift.float().cpu().numpy(),
        steps=steps.numpy(),
        converged=converged.numpy(),
    )


def _tensor(array: np.ndarray, device: str | torch.device) -> Tensor:
    return torch.as_tensor(np.asarray(array), dtype=torch.float32, device=device)
