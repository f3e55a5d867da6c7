"""Phases of training: batches, statistics and resuming."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from facsimile.errors import FacsimileError
from facsimile.faces.tables import to_tensor
from facsimile.pretraining import GeneratorTraining, Ranks, TrainingOptions
from facsimile.pretraining.draws import TrainingDraws
from facsimile.pretraining.phases import Stats, image_batches, warm_encoder

CPU = torch.device("cpu")


class Recorder:
    """A progress display that records what it shows."""

    def __init__(self) -> None:
        self.shown: list[tuple[str, int, str]] = []
        self.steps = 0

    @contextmanager
    def __call__(self, name: str, total: int, unit: str) -> Iterator:
        self.shown.append((name, total, unit))
        yield self.advance

    def advance(self, count: int) -> None:
        self.steps += count


def training(work: Path, rank: int = 0, ranks: int = 1, steps: int = 6) -> GeneratorTraining:
    phase = {"steps": steps, "batch_size": 4, "learning_rate": 1e-2, "warmup_steps": 1}
    options = TrainingOptions(prior=phase, compile=False, checkpoint_every=2)
    return GeneratorTraining(options, Ranks(rank, ranks, CPU), work, Recorder())


def train(run: GeneratorTraining, stop_at: int | None = None) -> dict[str, torch.Tensor]:
    """Fit a linear model with dropout to known weights; interrupted before step `stop_at`."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Dropout(0.5), nn.Linear(8, 1))
    weights = torch.linspace(-1, 1, 8)

    class Loss(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, inputs: torch.Tensor) -> torch.Tensor:
            return (self.model(inputs)[:, 0] - inputs @ weights).square().mean()

    def draw(step: int) -> tuple[torch.Tensor]:
        if step == stop_at:
            raise KeyboardInterrupt
        return (torch.randn(4, 8, generator=torch.Generator().manual_seed(step)),)

    def measure(ema: nn.Module, step: int) -> dict[str, float]:
        return {"twice": 2.0 * step}

    return run.run("prior", model, Loss(), draw, measure).state_dict()


def test_an_interrupted_phase_ends_with_the_same_weights(tmp_path: Path) -> None:
    whole = training(tmp_path / "whole")
    expected = train(whole)
    with pytest.raises(KeyboardInterrupt):
        train(training(tmp_path / "parts"), stop_at=5)
    resumed = training(tmp_path / "parts")
    found = train(resumed)
    assert all(torch.equal(expected[name], found[name]) for name in expected)
    assert whole.progress.shown == [("generator prior", 6, "steps")]
    assert resumed.progress.shown == [("generator prior", 2, "steps")]  # from step 4
    assert resumed.progress.steps == 2
    rows = Stats(tmp_path / "parts" / "stats.jsonl").rows
    assert [(row["step"], row["twice"]) for row in rows] == [(2, 4), (4, 8), (6, 12)]
    losses = [row["loss"] for row in Stats(tmp_path / "whole" / "stats.jsonl").rows]
    assert [row["loss"] for row in rows] == losses


def test_only_the_first_process_writes(tmp_path: Path) -> None:
    second = training(tmp_path, rank=1, ranks=2)
    train(second)
    assert not list(tmp_path.iterdir()) and not second.progress.shown
    assert second.share("prior") == slice(2, 4)


def test_stats_drop_the_rows_after_the_checkpoint(tmp_path: Path) -> None:
    stats = Stats(tmp_path / "stats.jsonl")
    for phase, step in (("warm_start", 4), ("prior", 2), ("prior", 4)):
        stats.add({"phase": phase, "step": step})
    stats = Stats(tmp_path / "stats.jsonl")
    stats.forget("prior", 2)
    assert [row["step"] for row in stats.rows] == [4, 2]


def test_faces_of_a_batch_are_randomly_mirrored() -> None:
    images = np.random.default_rng(0).integers(0, 256, (10, 8, 8, 3), np.uint8)
    draws = TrainingDraws(0, "autoencoder", 10, 6)
    batch = image_batches(images, draws, slice(2, 6), CPU)(3)
    faces = to_tensor(images[draws.rows(3)[2:6]])
    mirrored = draws.mirrored(3)[2:6]
    assert mirrored.any() and not mirrored.all()
    faces[mirrored] = faces[mirrored].flip(-1)
    assert torch.equal(batch, faces)


def test_components_need_enough_faces(tmp_path: Path) -> None:
    images = np.zeros((40, 8, 8, 3), np.uint8)
    with pytest.raises(FacsimileError, match=r"256 components needs at least 272 faces, not 40"):
        warm_encoder(training(tmp_path), nn.Identity(), images)
