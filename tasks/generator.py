"""Train the Diffusion Autoencoder of the embedded world and write its checkpoint.

    python -m tasks.generator [--params params.yaml] [--faces FACES] [--work WORK] [--out OUT]
                              [--oracle ORACLE]

Reads   params.yaml, section `generator`; FACES, a face table (rendered from world-ffhq if absent);
        ORACLE, the AU estimator that reads the reconstructions.
Writes  OUT/config.json, generator.safetensors, metrics.json, samples.png, README.md.

Frozen in the pipeline: the checkpoint is shipped. An interrupted run continues from WORK.
"""

import argparse
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor

from facsimile import world
from facsimile.aus import AUS
from facsimile.detection import AUOracle
from facsimile.generator import (
    DiffAEPipeline,
    DiffAEUNet,
    GeneratorConfig,
    LatentNet,
)
from facsimile.generator.evaluation import fidelity, frechet_distance, reconstruct, sample_faces
from facsimile.generator.training import (
    Trainer,
    autoencoder_loss,
    face_weights,
    latent_loss,
    principal_codes,
    stratified_timesteps,
    warm_start_loss,
)
from facsimile.generator.unet import SemanticEncoder
from facsimile.measurement.metrics import pearson_per_au
from facsimile.tables import (
    decode_images,
    to_tensor,
    to_uint8,
)
from tasks.data import ORACLE
from tasks.frozen import face_table, main
from tasks.generator_params import GeneratorParams
from tasks.params import read_section

COLUMNS = ["sample_id", "dataset", "subject_id", "split", "image"]
CHECKPOINT_EVERY = 500


def progress() -> Progress:
    """Progress bars with the running loss."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[loss]}"),
    )


def batches(images: np.ndarray, batch_size: int, rng: np.random.Generator) -> Iterator[Tensor]:
    """Endless shuffled epochs of float batches, each face mirrored with probability one half."""
    while True:
        order = rng.permutation(len(images))
        for start in range(0, len(order) - batch_size + 1, batch_size):
            batch = images[order[start : start + batch_size]]
            mirror = rng.random(len(batch)) < 0.5
            batch[mirror] = batch[mirror, :, ::-1]
            yield to_tensor(batch).contiguous(memory_format=torch.channels_last)


def resume(trainer: Trainer, checkpoint: Path) -> None:
    """Continue from a checkpoint of an interrupted run, if there is one."""
    if checkpoint.exists():
        trainer.load_state_dict(torch.load(checkpoint, weights_only=True))


def save_checkpoint(trainer: Trainer, checkpoint: Path) -> None:
    temporary = checkpoint.with_suffix(".tmp")
    torch.save(trainer.state_dict(), temporary)
    temporary.replace(checkpoint)


def grid(*rows: Tensor) -> Image.Image:
    """One picture: each argument is a row of faces."""
    rows = [np.concatenate(list(to_uint8(row)), axis=1) for row in rows]
    return Image.fromarray(np.concatenate(rows))


def warm_encoder(
    params: GeneratorParams, encoder: SemanticEncoder, images: np.ndarray
) -> SemanticEncoder:
    """Teach the encoder principal components of the faces before it meets the decoder."""
    settings = params.warm_start.settings()
    weights = face_weights(params.unet.image_size, params.face_weight)
    codes = principal_codes(
        to_tensor(images[: params.codes_faces]), params.unet.z_dim, weights, params.seed
    )
    loss = warm_start_loss(encoder, codes)
    trainer = Trainer(encoder, torch.compile(loss) if params.compile else loss, settings)
    source = batches(images, params.warm_start.batch_size, np.random.default_rng(params.seed))
    with progress() as bar:
        task = bar.add_task("encoder warm start", total=settings.steps, loss="")
        while trainer.step_count < settings.steps:
            value = trainer.step(next(source))
            bar.update(task, completed=trainer.step_count, loss=f"loss {value:.4f}")
    return trainer.ema


def train_autoencoder(
    params: GeneratorParams, config: GeneratorConfig, images: np.ndarray, probe: Tensor, work: Path
) -> DiffAEUNet:
    """Train encoder and decoder; `probe` faces are reconstructed into WORK/step-*.png meanwhile."""
    settings = params.autoencoder.settings()
    torch.manual_seed(params.seed)
    unet = DiffAEUNet(config.unet).to(memory_format=torch.channels_last)
    if not (work / "autoencoder.pt").exists():
        unet.encoder.load_state_dict(warm_encoder(params, unet.encoder, images).state_dict())
    loss = autoencoder_loss(unet, face_weights(config.unet.image_size, params.face_weight))
    # Inductor fuses norms and activations: about twice the images per second on a CPU.
    trainer = Trainer(unet, torch.compile(loss) if params.compile else loss, settings)
    resume(trainer, work / "autoencoder.pt")
    rng = np.random.default_rng([params.seed, trainer.step_count])
    torch.manual_seed(params.seed + trainer.step_count)
    source = batches(images, params.autoencoder.batch_size, rng)
    mean_loss = 0.0
    with progress() as bar:
        task = bar.add_task("autoencoder", total=settings.steps, loss="")
        while trainer.step_count < settings.steps:
            batch = next(source)
            value = trainer.step(
                batch,
                stratified_timesteps(len(batch), params.timestep_skew),
                torch.randn_like(batch),
            )
            mean_loss += (value - mean_loss) * 0.02
            bar.update(task, completed=trainer.step_count, loss=f"loss {mean_loss:.4f}")
            if trainer.step_count % CHECKPOINT_EVERY == 0:
                save_checkpoint(trainer, work / "autoencoder.pt")
                preview(config, trainer.ema, probe, work / f"step-{trainer.step_count:06d}.png")
                with (work / "stats.jsonl").open("a") as stats:
                    row = {"step": trainer.step_count, "loss": mean_loss}
                    stats.write(json.dumps(row) + "\n")
    return trainer.ema


def preview(config: GeneratorConfig, unet: DiffAEUNet, probe: Tensor, path: Path) -> None:
    """Originals, their reconstructions, and each face's x_T under its neighbour's z_sem."""
    pipeline = DiffAEPipeline(config)
    pipeline.model = unet
    z_sem = pipeline.encode(probe)
    x_t = pipeline.invert(probe, z_sem, 20)
    noise = torch.randn(probe.shape, generator=torch.Generator().manual_seed(0))
    grid(
        probe,
        pipeline.decode(z_sem, x_t, 20),
        pipeline.decode(z_sem, noise, 20),
        pipeline.decode(z_sem.roll(1, 0), x_t, 20),
    ).save(path)


def train_prior(
    params: GeneratorParams, config: GeneratorConfig, z: Tensor, work: Path
) -> LatentNet:
    """Train the latent diffusion prior on normalised codes z (N, z_dim)."""
    settings = params.prior.settings()
    torch.manual_seed(params.seed)
    net = LatentNet(config.latent_net, config.unet.z_dim)
    trainer = Trainer(net, latent_loss(net), settings)
    resume(trainer, work / "prior.pt")
    with progress() as bar:
        task = bar.add_task("prior", total=settings.steps, loss="")
        while trainer.step_count < settings.steps:
            rows = torch.randint(len(z), (params.prior.batch_size,))
            value = trainer.step(z[rows])
            if trainer.step_count % 100 == 0:
                bar.update(task, completed=trainer.step_count, loss=f"loss {value:.4f}")
    save_checkpoint(trainer, work / "prior.pt")
    return trainer.ema


def encode_all(pipeline: DiffAEPipeline, images: np.ndarray, batch_size: int = 256) -> Tensor:
    """z_sem (N, z_dim) of uint8 images."""
    parts = range(0, len(images), batch_size)
    return torch.cat([pipeline.encode(to_tensor(images[i : i + batch_size])) for i in parts])


def evaluate(
    pipeline: DiffAEPipeline,
    oracle: AUOracle,
    ids: list[str],
    images: np.ndarray,
    params: GeneratorParams,
) -> tuple[dict[str, float], Image.Image]:
    """Metrics on held-out faces, and a picture of reconstructions and samples."""
    steps, seed = params.eval_steps, params.seed
    inverted, randomised, sampled = [], [], []
    for start in range(0, len(images), 64):
        chunk = slice(start, start + 64)
        one, other = reconstruct(pipeline, to_tensor(images[chunk]), ids[chunk], steps, seed)
        inverted.append(one)
        randomised.append(other)
        sampled.append(sample_faces(pipeline, ids[chunk], steps, seed))
    originals = to_tensor(images)
    inverted, randomised, sampled = (torch.cat(part) for part in (inverted, randomised, sampled))
    metrics = {}
    for name, faces in (("inverted", inverted), ("random", randomised)):
        metrics[f"ssim_{name}"], metrics[f"psnr_{name}"] = fidelity(faces, originals)
    people = world.population(params.dataset, params.faces, params.seed).set_index("sample_id")
    aus = people.loc[ids, list(AUS)].to_numpy()
    for name, faces in (
        ("original", originals),
        ("reconstruction", inverted),
        ("reconstruction_random", randomised),
    ):
        metrics[f"au_pearson_{name}"] = float(
            pearson_per_au(aus, oracle.aus(to_uint8(faces))).mean()
        )
    features = [pipeline.normalize(pipeline.encode(part)).numpy() for part in (sampled, originals)]
    metrics["frechet"] = frechet_distance(*features)
    row = slice(0, 12)
    return metrics, grid(originals[row], inverted[row], randomised[row], sampled[row])


def model_card(params: GeneratorParams, metrics: dict[str, float]) -> str:
    """README.md of the checkpoint."""
    unet, warm, training, prior = (
        params.unet,
        params.warm_start,
        params.autoencoder,
        params.prior,
    )
    rate = f"{training.learning_rate:g}"
    rows = "\n".join(f"| {name} | {value:.4g} |" for name, value in metrics.items())
    return f"""# Diffusion Autoencoder of the embedded world

Semantic encoder, conditional DDIM decoder and latent prior (Preechakul et al., CVPR 2022) for
{unet.image_size} px faces of `{params.dataset}`, all rendered: no photograph of a person was used.
z_sem has {unet.z_dim} dimensions.

- Data: {params.faces} faces, mirrored at random, no labels.
- Warm start: {warm.steps} steps in which the encoder learns {unet.z_dim} principal components.
- Training: {training.steps} steps of {training.batch_size}, AdamW at {rate} with cosine decay,
  {unet.prediction} prediction, timesteps drawn with density t^{params.timestep_skew:g}, weights
  averaged with decay {training.ema_decay}.
- Prior: {prior.steps} steps of {prior.batch_size}.
- Command: `python -m tasks.generator`.

Measured on {params.holdout} faces of people unseen in training, {params.eval_steps} DDIM steps each
way. `frechet` is the Fréchet distance between normalised z_sem of held-out faces and of samples
from the prior; `au_pearson_*` is the correlation, averaged over 12 AUs, of the true AU intensities
with those that an estimator which shares no data with this model (data/oracle) reads from the
pictures.

| metric | value |
| --- | --- |
{rows}

`samples.png`, from the top: held-out faces, decoded from their own inverted x_T, decoded from a
random x_T, sampled without condition.
"""


def run(arguments: argparse.Namespace) -> None:
    """The stage from face table to checkpoint."""
    params = read_section(arguments.params, "generator", GeneratorParams)
    config = params.config()
    work, out = arguments.work, arguments.out
    work.mkdir(parents=True, exist_ok=True)
    size = params.unet.image_size
    faces = face_table(
        arguments.faces, params.dataset, params.faces, size, params.seed, params.workers, COLUMNS
    )
    test = faces[faces["split"] == "test"].head(params.holdout)
    images, test_images = (
        decode_images(rows, str(arguments.faces))
        for rows in (faces[faces["split"] == "train"], test)
    )

    pipeline = DiffAEPipeline(config)
    pipeline.model = train_autoencoder(params, config, images, to_tensor(test_images[:12]), work)
    z_sem = encode_all(pipeline, images)
    pipeline.conds_mean.copy_(z_sem.mean(0))
    pipeline.conds_std.copy_(z_sem.std(0))
    pipeline.latent_net = train_prior(params, config, pipeline.normalize(z_sem), work)

    # What is measured is what is shipped: half-precision weights, read back.
    pipeline.save_pretrained(out)
    pipeline = DiffAEPipeline.from_pretrained(out)
    oracle = AUOracle.load(arguments.oracle)
    metrics, picture = evaluate(pipeline, oracle, list(test["sample_id"]), test_images, params)
    metrics["parameters"] = sum(p.numel() for p in pipeline.parameters())
    metrics["images_seen"] = params.autoencoder.steps * params.autoencoder.batch_size
    (out / "metrics.json").write_text(json.dumps(metrics, indent=2) + "\n")
    (out / "README.md").write_text(model_card(params, metrics))
    picture.save(out / "samples.png")


if __name__ == "__main__":
    main("generator", __doc__, run, oracle=ORACLE)
