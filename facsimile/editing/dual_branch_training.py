"""Training of the dual-branch editor's networks, on codes.

Source: "AUEditNet: Dual-Branch Facial Action Unit Intensity Manipulation with Implicit
Disentanglement" (Jin et al., CVPR 2024), 3.4. `dual_branch.py` says what differs.
"""

from dataclasses import dataclass

import numpy as np
import torch
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from torch import Tensor, nn
from torch.nn import functional as F

from facsimile.editing.base import Progress
from facsimile.editing.dual_branch_networks import DualBranchNetworks, Status, amounts, existence
from facsimile.editor_options import DualBranchOptions
from facsimile.errors import FacsimileError

_READER_WIDTH = 256
_READER_DROPOUT = 0.2
_READER_WEIGHT_DECAY = 0.1


@dataclass(frozen=True)
class Pool:
    """Codes of faces in which the faces of a person are neighbours.

    Attributes:
        z: (P, D).
        person: mean code of each row's person, (P, D).
        first, count: first row of each row's person, and how many rows that person has, (P,).
        labels: AU levels of the first L rows, (L, N), NaN = not annotated. The other faces, all of
            other people, only serve as I_rnd.
    """

    z: Tensor
    person: Tensor
    first: Tensor
    count: Tensor
    labels: Tensor

    @classmethod
    def gather(
        cls,
        labelled: tuple[np.ndarray, np.ndarray],
        labels: np.ndarray,
        others: tuple[np.ndarray, np.ndarray],
        device: torch.device,
    ) -> "Pool":
        """The pool of faces in any order.

        Args:
            labelled: codes (L, D) and subject ids (L,) of faces with labels.
            labels: (L, N).
            others: the same of further faces.
            device: where to put it.
        """
        z, person, first, count, orders = [], [], [], [], []
        for codes, subjects in (labelled, others):
            order = np.argsort(subjects, kind="stable")
            _, starts, index, sizes = np.unique(
                subjects[order], return_index=True, return_inverse=True, return_counts=True
            )
            first.append(sum(map(len, z)) + starts[index])
            count.append(sizes[index])
            z.append(codes[order].astype(np.float32))
            means = np.add.reduceat(z[-1], starts) / sizes[:, None] if len(order) else z[-1]
            person.append(means[index].astype(np.float32))
            orders.append(order)
        rows = (z, person, first, count, [labels[orders[0]].astype(np.float32)])
        return cls(*(torch.from_numpy(np.concatenate(parts)).to(device) for parts in rows))

    def rows(self, size: int) -> tuple[Tensor, Tensor, Tensor]:
        """Random rows of I_src, of I_tar of the same people, and of I_rnd of others, (size,).

        Half of the targets are drawn alike, half by AU, so that rare AUs are learnt too.
        """
        levels = self.labels.nan_to_num()
        share = levels / levels.mean(0).clamp(min=1e-6)
        target = torch.multinomial((1 + share.mean(1)).cpu(), size, replacement=True)
        target = target.to(self.z.device)
        pair, other = torch.rand(2, size).to(self.z.device)
        first, count = self.first[target], self.count[target]
        source = first + (pair * count).long()
        random = first + count + (other * (len(self.z) - count)).long()
        return source, target, random % len(self.z)

    def draw(self, size: int, transfer: bool) -> "Batch":
        """A batch; see `DualBranchOptions.transfer`."""
        source, target, random = self.rows(size)
        # Not towards the person of the same row's I_rnd, which must know nothing of the target.
        donors = random.roll(1)
        share = torch.rand(size, 1).to(self.z) if transfer else 0.0
        shift = share * (self.person[donors] - self.person[source])
        return Batch(
            self.z[source] + shift,
            self.z[target] + shift,
            self.z[random],
            self.labels[source],
            self.labels[target],
        )


@dataclass(frozen=True)
class Batch:
    """Training faces.

    Attributes:
        source, target, random: codes of I_src, I_tar and I_rnd, (B, D).
        source_levels, target_levels: their AU levels (B, N), NaN = not annotated.
    """

    source: Tensor
    target: Tensor
    random: Tensor
    source_levels: Tensor
    target_levels: Tensor


class AUReader(nn.Module):
    """F_pre: a network r with ``r(z₁) − r(z₂)`` = difference in AU levels of two faces of a person.

    The difference cancels what belongs to the person, as the paper's Siamese network does.
    """

    def __init__(self, z_dim: int, aus: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            [
                nn.Sequential(
                    nn.Dropout(_READER_DROPOUT), nn.Linear(z_dim, _READER_WIDTH), nn.SiLU()
                ),
                nn.Sequential(nn.Linear(_READER_WIDTH, _READER_WIDTH), nn.SiLU()),
                nn.Linear(_READER_WIDTH, aus),
            ]
        )

    def forward(self, z: Tensor) -> list[Tensor]:
        """Activations f_1 … f_K of codes (B, D), and last the readings (B, N)."""
        outputs = []
        for layer in self.layers:
            outputs.append(layer(outputs[-1] if outputs else z))
        return outputs


@dataclass(frozen=True)
class DualBranchTraining:
    """Trains `DualBranchNetworks`.

    Attributes:
        options: options of the editor.
        pool: faces to draw from.
        identity: F_id, a linear readout of identity (D, K) from centred codes.
    """

    options: DualBranchOptions
    pool: Pool
    identity: Tensor

    def run(self, progress: Progress) -> DualBranchNetworks:
        """Train, which `progress` shows."""
        options, z = self.options, self.pool.z
        devices = [z.device] if z.device.type == "cuda" else []
        with torch.random.fork_rng(devices=devices):
            torch.manual_seed(options.seed)
            networks = DualBranchNetworks(
                z.shape[1],
                self.pool.labels.shape[1],
                options.levels,
                options.width,
                options.embedding,
                options.label_mapping,
            ).to(z.device)
            networks.fit_levels(z)
            reader = self._train_reader(progress)
            optimizer = torch.optim.AdamW(
                networks.parameters(), options.lr, weight_decay=options.weight_decay
            )
            schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, options.steps)
            with progress("train the branches", options.steps, "steps") as advance:
                for _ in range(options.steps):
                    optimizer.zero_grad()
                    self.loss(networks, reader).backward()
                    optimizer.step()
                    schedule.step()
                    advance(1)
        return networks.eval().requires_grad_(False)

    def loss(self, networks: DualBranchNetworks, reader: AUReader) -> Tensor:
        """Eq. 4 on one batch."""
        options = self.options
        batch = self.pool.draw(options.batch_size, options.transfer)
        found = networks.encode(batch.source)
        other = networks.encode(batch.random) if options.dual else found
        wanted = _wanted(networks, batch)

        normalised = networks.move(other.embeddings, -amounts(other.labels))
        removed = batch.source - networks.decode(found.embeddings)
        edited = removed + networks.decode(networks.move(normalised, amounts(wanted)))

        reconstruction = F.mse_loss(edited, batch.target)
        *features, readings = reader(edited)
        *real_features, real_readings = reader(batch.target)
        function = sum(map(F.mse_loss, features, real_features)) / len(features)
        function = function + F.mse_loss(readings, real_readings)
        person = (batch.target - networks.mean) @ self.identity
        same = sum(
            1 - F.cosine_similarity((codes - networks.mean) @ self.identity, person).mean()
            for codes in (edited, removed)
        )
        return (
            options.weight_code * reconstruction
            + options.weight_function * function
            + options.weight_identity * same
            + options.weight_label * _label_loss(networks, found, batch.source_levels)
        )

    def _train_reader(self, progress: Progress) -> AUReader:
        options, z = self.options, self.pool.z
        reader = AUReader(z.shape[1], self.pool.labels.shape[1]).to(z.device)
        optimizer = torch.optim.AdamW(reader.parameters(), weight_decay=_READER_WEIGHT_DECAY)
        steps = options.steps // 2
        with progress("train the AU reader of codes", steps, "steps") as advance:
            for _ in range(steps):
                batch = self.pool.draw(options.batch_size, options.transfer)
                difference = batch.source_levels - batch.target_levels
                known = ~difference.isnan()
                read = reader(batch.source)[-1] - reader(batch.target)[-1]
                optimizer.zero_grad()
                F.mse_loss(read[known], difference[known]).backward()
                optimizer.step()
                advance(1)
        return reader.eval().requires_grad_(False)


def _wanted(networks: DualBranchNetworks, batch: Batch) -> Tensor:
    """Pseudo-labels of the target faces; as estimated where they are not annotated."""
    levels = batch.target_levels
    pseudo = networks.pseudo_labels(levels.nan_to_num())
    if not levels.isnan().any():
        return pseudo
    return torch.where(
        levels.isnan()[:, None, :, None], networks.encode(batch.target).labels, pseudo
    )


def _label_loss(networks: DualBranchNetworks, found: Status, levels: Tensor) -> Tensor:
    """Eq. 8 on annotated AUs."""
    known = ~levels.isnan()
    truth = torch.stack([existence(levels), levels], -1)[known]
    decoded = networks.labels(found.labels)[known]
    pseudo = networks.pseudo_labels(levels.nan_to_num()).transpose(1, 2)[known]
    return 2 * (
        F.mse_loss(decoded, truth) + F.mse_loss(found.labels.transpose(1, 2)[known], pseudo)
    )


def identity_readout(z: np.ndarray, subjects: np.ndarray) -> np.ndarray:
    """F_id: linear discriminants (D, K) of people.

    Args:
        z: codes (N, D), with several faces of each person.
        subjects: N subject ids.

    Raises:
        FacsimileError: there is only one person.
    """
    if len(np.unique(subjects)) < 2:
        raise FacsimileError(
            "dual-branch editor: all training faces show one person; it needs two or more"
        )
    analysis = LinearDiscriminantAnalysis(solver="eigen", shrinkage="auto").fit(z, subjects)
    return analysis.scalings_[:, : min(len(analysis.classes_) - 1, z.shape[1])]
