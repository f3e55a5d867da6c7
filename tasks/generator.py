"""Train a Diffusion Autoencoder on a face table and write its checkpoint.

    python -m tasks.generator [--params params.yaml] [--faces FACES] [--work WORK] [--out OUT]
                              [--oracle ORACLE] [--device DEVICE]
    torchrun --nproc-per-node N -m tasks.generator …

Reads   params.yaml, section `generator`; FACES, a face table (rendered from world-ffhq if absent);
        ORACLE, the AU estimator that reads the reconstructions (data/oracle for rendered faces,
        none for a table of your own).
Writes  OUT/config.json, generator.safetensors, metrics.json, samples.png, README.md; meanwhile
        WORK/stats.jsonl, a line a checkpoint, and WORK/step-*.png.

Frozen in the pipeline: the checkpoint is shipped. An interrupted run continues from WORK and ends
with the weights, on a CPU to the bit, of one that was not interrupted. Processes that torchrun
starts take equal shares of each batch and must see the same WORK.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from facsimile.detection import AUOracle
from facsimile.errors import FacsimileError
from facsimile.faces.tables import atomic_file, to_tensor
from facsimile.generator import DiffAEPipeline, DiffAEUNet, LatentNet, SemanticEncoder
from facsimile.generator.draws import Draws
from facsimile.generator.training import (
    AutoencoderLoss,
    LatentLoss,
    PrincipalCodes,
    Trainer,
    WarmStartLoss,
)
from facsimile.seeding import sample_seed
from tasks.params import read_section
from tasks.shared.artefacts import ORACLE
from tasks.shared.frozen import main
from tasks.shared.generator_faces import Faces, open_faces
from tasks.shared.generator_params import GeneratorParams, OptimizerParams
from tasks.shared.generator_report import evaluate, model_card, preview
from tasks.shared.ranks import Ranks, join

PHASES = ("warm_start", "autoencoder", "prior")
PROBES = 12


@dataclass(frozen=True)
class Training:
    """What the phases of a training share."""

    params: GeneratorParams
    ranks: Ranks
    work: Path

    def share(self, phase: str) -> slice:
        """The share of each batch of a phase that this process computes."""
        settings: OptimizerParams = getattr(self.params, phase)
        name = f"generator.{phase}.batch_size"
        return self.ranks.share(settings.batch_size, settings.accumulate, name)

    def draws(self, phase: str, faces: int) -> Draws:
        """Random draws of a phase."""
        return Draws(self.params.seed, phase, faces, getattr(self.params, phase).batch_size)

    def ready(self, loss: nn.Module) -> nn.Module:
        """A loss on the device, compiled if the params say so."""
        loss = loss.to(self.ranks.device)
        # Inductor fuses norms and activations: about twice the images per second on a CPU.
        return torch.compile(loss) if self.params.compile else loss

    def run(
        self,
        phase: str,
        model: nn.Module,
        loss: nn.Module,
        draw: Callable[[int], tuple[Tensor, ...]],
        measure: Callable[[nn.Module, int], dict[str, float]] = lambda ema, step: {},
    ) -> nn.Module:
        """Train a model to its last step, from WORK/<phase>.pt where a run was interrupted.

        Args:
            phase: its name, that of its section of the params.
            model: on the device.
            loss: of the model, see `Trainer`; on the device.
            draw: number of a step → the share of its batch that this process computes.
            measure: averaged weights, steps done → figures; called for each checkpoint.

        Returns:
            The model with averaged weights.
        """
        settings: OptimizerParams = getattr(self.params, phase)
        trainer = Trainer(model, loss, settings.settings(), settings.accumulate)
        checkpoint = self.work / f"{phase}.pt"
        if checkpoint.exists():
            state = torch.load(checkpoint, self.ranks.device, weights_only=True)
            trainer.load_state_dict(state)
        stats = Stats(self.work / "stats.jsonl")
        stats.forget(phase, trainer.step_count)
        losses: list[Tensor] = []
        begin = time.monotonic()
        left = settings.steps - trainer.step_count
        with self.ranks.progress(f"generator {phase}", left, "steps") as advance:
            while (step := trainer.step_count) < settings.steps:
                # For dropout, which draws from the generator of torch.
                torch.manual_seed(
                    sample_seed(self.params.seed, f"{phase}/{step}/{self.ranks.rank}")
                )
                losses.append(trainer.step(*draw(step)))
                advance(1)
                step = trainer.step_count
                if step % self.params.checkpoint_every and step < settings.steps:
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
    """Figures of a training, a JSON line a checkpoint; the file is never seen half-written.

    Args:
        path: of the file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        lines = path.read_text().splitlines() if path.exists() else []
        self.rows = [json.loads(line) for line in lines]

    def forget(self, phase: str, step: int) -> None:
        """Drop what was noted after the checkpoint from which a phase goes on."""
        self.rows = [row for row in self.rows if row["phase"] != phase or row["step"] <= step]

    def add(self, row: dict[str, object]) -> None:
        self.rows.append(row)
        with atomic_file(self.path) as temporary:
            temporary.write_text("".join(json.dumps(row) + "\n" for row in self.rows))


def _save(trainer: Trainer, checkpoint: Path) -> None:
    with atomic_file(checkpoint) as temporary:
        torch.save(trainer.state_dict(), temporary)


def image_batches(
    images: np.ndarray, draws: Draws, share: slice, device: torch.device
) -> Callable[[int], Tensor]:
    """Step → its share of the faces (B, 3, H, W), half of them mirrored."""

    def batch(step: int) -> Tensor:
        faces = images[draws.rows(step)[share]]
        mirrored = draws.mirrored(step)[share]
        faces[mirrored] = faces[mirrored, :, ::-1]
        return to_tensor(faces, device).contiguous(memory_format=torch.channels_last)

    return batch


def warm_encoder(
    training: Training, encoder: SemanticEncoder, images: np.ndarray
) -> SemanticEncoder:
    """Teach the encoder principal components of the faces before it meets the decoder."""
    params = training.params
    z_dim, sample = params.unet.z_dim, images[: params.codes_faces]
    if len(sample) < z_dim + PrincipalCodes.SPARE:
        raise FacsimileError(
            f"generator.unet.z_dim: {z_dim} components need at least "
            f"{z_dim + PrincipalCodes.SPARE} faces to be fitted on, not {len(sample)}"
        )
    weights = params.pixel_weights()
    codes = PrincipalCodes(to_tensor(sample), z_dim, weights, params.seed)
    loss = WarmStartLoss(encoder, codes, params.torch_dtype)
    draws, share = training.draws("warm_start", len(images)), training.share("warm_start")
    batch = image_batches(images, draws, share, training.ranks.device)
    return training.run("warm_start", encoder, training.ready(loss), lambda step: (batch(step),))


def train_autoencoder(training: Training, faces: Faces) -> DiffAEUNet:
    """Train encoder and decoder; a few faces are reconstructed into WORK/step-*.png meanwhile."""
    params, device = training.params, training.ranks.device
    config, images = params.config(), faces.train
    torch.manual_seed(params.seed)
    unet = DiffAEUNet(config.unet).to(device, memory_format=torch.channels_last)
    if not (training.work / "autoencoder.pt").exists():
        warm = warm_encoder(training, unet.encoder, images)
        unet.encoder.load_state_dict(warm.state_dict())
    loss = AutoencoderLoss(unet, params.pixel_weights(), params.detail, params.torch_dtype)
    draws, share = training.draws("autoencoder", len(images)), training.share("autoencoder")
    batch = image_batches(images, draws, share, device)
    probe = to_tensor(faces.test[:PROBES], device)

    def draw(step: int) -> tuple[Tensor, Tensor, Tensor]:
        batch_images = batch(step)
        timesteps = draws.timesteps(step, params.timestep_skew)[share].to(device)
        return batch_images, timesteps, draws.noise(step, share, batch_images.shape[1:], device)

    def measure(ema: nn.Module, step: int) -> dict[str, float]:
        return preview(params, ema, probe, training.work / f"step-{step:06d}.png")

    return training.run("autoencoder", unet, training.ready(loss), draw, measure)


def train_prior(training: Training, z: Tensor) -> LatentNet:
    """Train the latent diffusion prior on normalised codes z (N, z_dim)."""
    params, device = training.params, training.ranks.device
    config = params.config()
    torch.manual_seed(params.seed)
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


def _oracle(arguments: argparse.Namespace, rendered: bool, size: int) -> AUOracle | None:
    """The estimator that reads AUs from faces of this size, if there is one."""
    path = arguments.oracle or (ORACLE if rendered else None)
    if path is None:
        return None
    oracle = AUOracle.load(path, arguments.device)
    side = oracle.config["image_size"]
    if side == size:
        return oracle
    if arguments.oracle:
        raise FacsimileError(
            f"{path}: reads faces of {side} pixels, generator.unet.image_size is {size}"
        )
    return None


def run(arguments: argparse.Namespace) -> None:
    """The stage from face table to checkpoint."""
    params = read_section(arguments.params, "generator", GeneratorParams)
    work, rendered = arguments.work, arguments.faces == arguments.work / "faces"
    work.mkdir(parents=True, exist_ok=True)
    # What is wrong with it is told now, not after the training.
    oracle = _oracle(arguments, rendered, params.unet.image_size)

    with join(arguments.device) as ranks:
        training = Training(params, ranks, work)
        for phase in PHASES:
            training.share(phase)  # a batch that cannot be divided is told before the first phase
        with ranks.first_before_others():
            faces = open_faces(arguments.faces, work, params)
        pipeline = DiffAEPipeline(params.config())
        pipeline.model = train_autoencoder(training, faces)
        pipeline.to(ranks.device)
        z_sem = encode_all(pipeline, faces.train)
        pipeline.conds_mean.copy_(z_sem.mean(0))
        pipeline.conds_std.copy_(z_sem.std(0))
        pipeline.latent_net = train_prior(training, pipeline.normalize(z_sem))
        if not ranks.first:
            return

    # A folder of its own until all is there: the one that is replaced may be in use.
    arguments.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".", suffix=".tmp", dir=arguments.out) as folder:
        out = Path(folder)
        # What is measured is what is shipped: half-precision weights, read back.
        pipeline.save_pretrained(out)
        pipeline = DiffAEPipeline.from_pretrained(out, str(ranks.device), params.eval_options())
        metrics, picture = evaluate(pipeline, oracle, faces, params)
        metrics["parameters"] = sum(p.numel() for p in pipeline.parameters())
        metrics["images_seen"] = params.autoencoder.steps * params.autoencoder.batch_size
        (out / "metrics.json").write_text(json.dumps(metrics, indent=2) + "\n")
        (out / "README.md").write_text(model_card(params, faces, rendered, metrics))
        picture.save(out / "samples.png")
        for file in out.iterdir():
            file.replace(arguments.out / file.name)


if __name__ == "__main__":
    main("generator", __doc__, run, oracle=None)
