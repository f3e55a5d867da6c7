"""The three phases of training a Diffusion Autoencoder: warm start, autoencoder, latent prior.

An interrupted phase continues from its checkpoint. It ends with the same weights as without the
interruption, bit for bit on a CPU.
"""

import json
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from facsimile.errors import FacsimileError
from facsimile.faces.tables import to_tensor
from facsimile.files import atomic_file
from facsimile.generator.latent_net import LatentNet
from facsimile.generator.pipeline import DiffAEPipeline
from facsimile.generator.unet import DiffAEUNet, SemanticEncoder
from facsimile.pretraining.draws import TrainingDraws
from facsimile.pretraining.options import PhaseOptions, TrainingOptions
from facsimile.pretraining.ranks import Ranks
from facsimile.pretraining.trainer import (
    AutoencoderLoss,
    LatentLoss,
    PrincipalCodes,
    Trainer,
    WarmStartLoss,
)
from facsimile.pretraining.training_faces import TrainingFaces
from facsimile.pretraining.training_report import preview
from facsimile.seeding import sample_seed

Progress = Callable[[str, int, str], AbstractContextManager[Callable[[int], None]]]

_SILENT = nullcontext(lambda count: None)

PHASES = ("warm_start", "autoencoder", "prior")
PROBES = 12


@dataclass(frozen=True)
class GeneratorTraining:
    """Context shared by all phases of a training.

    Attributes:
        options: training options.
        ranks: this process and the others.
        work: folder for checkpoints and statistics.
        progress: ``progress(name, total, unit)`` gives a context manager that yields
            ``advance(count)``; called in the first process only.
    """

    options: TrainingOptions
    ranks: Ranks
    work: Path
    progress: Progress

    def share(self, phase: str) -> slice:
        """The part of each batch of a phase that this process computes."""
        settings: PhaseOptions = getattr(self.options, phase)
        name = f"generator.{phase}.batch_size"
        return self.ranks.share(settings.batch_size, settings.accumulate, name)

    def draws(self, phase: str, faces: int) -> TrainingDraws:
        """Random draws of a phase."""
        return TrainingDraws(
            self.options.seed, phase, faces, getattr(self.options, phase).batch_size
        )

    def ready(self, loss: nn.Module) -> nn.Module:
        """Move a loss to the device, and compile it if the options ask for it."""
        loss = loss.to(self.ranks.device)
        # Inductor fuses norms and activations, which about doubles the throughput on a CPU.
        return torch.compile(loss) if self.options.compile else loss

    def run(
        self,
        phase: str,
        model: nn.Module,
        loss: nn.Module,
        draw: Callable[[int], tuple[Tensor, ...]],
        measure: Callable[[nn.Module, int], dict[str, float]] = lambda ema, step: {},
    ) -> nn.Module:
        """Train a model to the last step, resuming from WORK/<phase>.pt if it exists.

        Args:
            phase: name of the phase and of its section in the options.
            model: the model, on the device.
            loss: loss of the model (see `Trainer`), on the device.
            draw: step → this process's share of the batch.
            measure: (model with averaged weights, step) → metrics; called at each checkpoint.

        Returns:
            The model with averaged weights.
        """
        settings: PhaseOptions = getattr(self.options, phase)
        trainer = Trainer(model, loss, settings.settings(), settings.accumulate)
        checkpoint = self.work / f"{phase}.pt"
        if checkpoint.exists():
            state = torch.load(checkpoint, self.ranks.device, weights_only=True)
            trainer.load_state_dict(state)
        stats = Stats(self.work / "stats.jsonl")
        stats.forget(phase, trainer.step_count)
        losses: list[Tensor] = []
        begin = time.monotonic()
        remaining = settings.steps - trainer.step_count
        display = _SILENT
        if self.ranks.first:
            display = self.progress(f"generator {phase}", remaining, "steps")
        with display as advance:
            while (step := trainer.step_count) < settings.steps:
                # Seeds dropout, which uses torch's global generator.
                torch.manual_seed(
                    sample_seed(self.options.seed, f"{phase}/{step}/{self.ranks.rank}")
                )
                losses.append(trainer.step(*draw(step)))
                advance(1)
                step = trainer.step_count
                if step % self.options.checkpoint_every and step < settings.steps:
                    continue
                if self.ranks.first:
                    row = {"phase": phase, "step": step, "loss": torch.stack(losses).mean().item()}
                    row["steps_per_second"] = len(losses) / (time.monotonic() - begin)
                    stats.add(row | measure(trainer.ema, step))
                    _save(trainer, checkpoint)
                losses.clear()
                begin = time.monotonic()
        return trainer.ema


class Stats:
    """Training metrics, one JSON line per checkpoint, written atomically.

    Args:
        path: path of the file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        lines = path.read_text().splitlines() if path.exists() else []
        self.rows = [json.loads(line) for line in lines]

    def forget(self, phase: str, step: int) -> None:
        """Drop the rows of a phase after the step from which it resumes."""
        self.rows = [row for row in self.rows if row["phase"] != phase or row["step"] <= step]

    def add(self, row: dict[str, object]) -> None:
        self.rows.append(row)
        with atomic_file(self.path) as temporary:
            temporary.write_text("".join(json.dumps(row) + "\n" for row in self.rows))


def _save(trainer: Trainer, checkpoint: Path) -> None:
    with atomic_file(checkpoint) as temporary:
        torch.save(trainer.state_dict(), temporary)


def image_batches(
    images: np.ndarray, draws: TrainingDraws, share: slice, device: torch.device
) -> Callable[[int], Tensor]:
    """A function step → share of its faces (B, 3, H, W), randomly mirrored."""

    def batch(step: int) -> Tensor:
        faces = images[draws.rows(step)[share]]
        mirrored = draws.mirrored(step)[share]
        faces[mirrored] = faces[mirrored, :, ::-1]
        return to_tensor(faces, device).contiguous(memory_format=torch.channels_last)

    return batch


def warm_encoder(
    training: GeneratorTraining, encoder: SemanticEncoder, images: np.ndarray
) -> SemanticEncoder:
    """Pretrain the encoder on principal components of the faces, without the decoder."""
    options = training.options
    z_dim, sample = options.unet.z_dim, images[: options.codes_faces]
    required = z_dim + PrincipalCodes.OVERSAMPLING
    if len(sample) < required:
        raise FacsimileError(
            f"generator.unet.z_dim: fitting {z_dim} components needs at least {required} faces, "
            f"not {len(sample)}"
        )
    weights = options.pixel_weights()
    codes = PrincipalCodes(to_tensor(sample), z_dim, weights, options.seed)
    loss = WarmStartLoss(encoder, codes, options.torch_dtype)
    draws, share = training.draws("warm_start", len(images)), training.share("warm_start")
    batch = image_batches(images, draws, share, training.ranks.device)
    return training.run("warm_start", encoder, training.ready(loss), lambda step: (batch(step),))


def train_autoencoder(training: GeneratorTraining, faces: TrainingFaces) -> DiffAEUNet:
    """Train encoder and decoder; each checkpoint writes reconstructions to WORK/step-*.png."""
    options, device = training.options, training.ranks.device
    config, images = options.config(), faces.train
    torch.manual_seed(options.seed)
    unet = DiffAEUNet(config.unet).to(device, memory_format=torch.channels_last)
    if not (training.work / "autoencoder.pt").exists():
        warm = warm_encoder(training, unet.encoder, images)
        unet.encoder.load_state_dict(warm.state_dict())
    loss = AutoencoderLoss(unet, options.pixel_weights(), options.detail, options.torch_dtype)
    draws, share = training.draws("autoencoder", len(images)), training.share("autoencoder")
    batch = image_batches(images, draws, share, device)
    probe = to_tensor(faces.test[:PROBES], device)

    def draw(step: int) -> tuple[Tensor, Tensor, Tensor]:
        batch_images = batch(step)
        timesteps = draws.timesteps(step, options.timestep_skew)[share].to(device)
        return batch_images, timesteps, draws.noise(step, share, batch_images.shape[1:], device)

    def measure(ema: nn.Module, step: int) -> dict[str, float]:
        return preview(options, ema, probe, training.work / f"step-{step:06d}.png")

    return training.run("autoencoder", unet, training.ready(loss), draw, measure)


def train_prior(training: GeneratorTraining, z: Tensor) -> LatentNet:
    """Train the latent diffusion prior on normalised codes z (N, z_dim)."""
    options, device = training.options, training.ranks.device
    config = options.config()
    torch.manual_seed(options.seed)
    net = LatentNet(config.latent_net, config.unet.z_dim).to(device)
    draws, share = training.draws("prior", len(z)), training.share("prior")

    def draw(step: int) -> tuple[Tensor, Tensor, Tensor]:
        codes = z[torch.from_numpy(draws.rows(step)[share]).to(device)]
        timesteps = draws.timesteps(step)[share].to(device)
        return codes, timesteps, draws.noise(step, share, codes.shape[1:], device)

    return training.run("prior", net, LatentLoss(net), draw)


def encode_all(pipeline: DiffAEPipeline, images: np.ndarray, batch_size: int = 256) -> Tensor:
    """Raw z_sem (N, z_dim) of uint8 images."""
    parts = range(0, len(images), batch_size)
    return torch.cat([pipeline.encode(to_tensor(images[i : i + batch_size])).raw for i in parts])


def train_generator(training: GeneratorTraining, faces: TrainingFaces) -> DiffAEPipeline:
    """Run all phases and return the trained generator, on the device of this process."""
    pipeline = DiffAEPipeline(training.options.config())
    pipeline.model = train_autoencoder(training, faces)
    pipeline.to(training.ranks.device)
    z_sem = encode_all(pipeline, faces.train)
    pipeline.conds_mean.copy_(z_sem.mean(0))
    pipeline.conds_std.copy_(z_sem.std(0))
    pipeline.latent_net = train_prior(training, pipeline.normalize(z_sem))
    return pipeline
