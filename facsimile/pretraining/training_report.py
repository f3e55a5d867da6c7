"""Report of a training: pictures, metrics and a model card."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from facsimile.detection import AUOracle
from facsimile.faces.aus import AUS
from facsimile.faces.tables import to_tensor, to_uint8
from facsimile.generator import DiffAEPipeline, DiffAEUNet, Generator
from facsimile.generator.evaluation import fidelity, frechet_distance, reconstruct, sample_faces
from facsimile.measurement.metrics import mean_defined, pearson_per_au
from facsimile.pretraining.options import TrainingOptions
from facsimile.pretraining.training_faces import TrainingFaces

_BATCH = 64


def grid(*rows: Tensor) -> Image.Image:
    """Arrange faces in one image, one row per argument."""
    rows = [np.concatenate(list(to_uint8(row)), axis=1) for row in rows]
    return Image.fromarray(np.concatenate(rows))


def preview(
    options: TrainingOptions, unet: DiffAEUNet, probe: Tensor, path: Path
) -> dict[str, float]:
    """Write an image grid of faces, reconstructions and swapped codes.

    Rows: originals, reconstructions from inverted and from random x_T, and each face's x_T decoded
    with the z of its neighbour.

    Returns:
        Fidelity of the reconstructions from inverted x_T.
    """
    pipeline = DiffAEPipeline(options.config(), options.eval_options())
    pipeline.model = unet
    pipeline.to(probe.device)
    codes = pipeline.invert(probe, pipeline.encode(probe))
    noise = torch.randn(probe.shape, generator=torch.Generator().manual_seed(0))
    inverted = pipeline.decode(codes)
    grid(
        probe,
        inverted,
        pipeline.decode(replace(codes, x_t=noise)),
        pipeline.decode(codes.replace_z(codes.z.roll(1, 0))),
    ).save(path)
    ssim, psnr = fidelity(inverted, probe)
    return {"ssim_inverted": ssim, "psnr_inverted": psnr}


def evaluate(
    generator: Generator, oracle: AUOracle | None, faces: TrainingFaces, options: TrainingOptions
) -> tuple[dict[str, float], Image.Image]:
    """Metrics on held-out faces, and an image grid of reconstructions and samples.

    Without an oracle, or if the faces have no AUs, the metrics `au_pearson_*` are omitted.
    """
    seed = options.seed
    ids = list(faces.test_rows["sample_id"])
    inverted, randomised, sampled = [], [], []
    for chunk in _chunks(len(ids)):
        batch = to_tensor(faces.test[chunk])
        one, other = reconstruct(generator, batch, ids[chunk], seed)
        inverted.append(one.cpu())
        randomised.append(other.cpu())
        sampled.append(sample_faces(generator, ids[chunk], seed).cpu())
    originals = to_tensor(faces.test)
    inverted, randomised, sampled = (torch.cat(part) for part in (inverted, randomised, sampled))
    metrics = {}
    for name, images in (("inverted", inverted), ("random", randomised)):
        metrics[f"ssim_{name}"], metrics[f"psnr_{name}"] = fidelity(images, originals)
    aus = faces.test_rows[list(AUS)].to_numpy(float)
    for name, images in (
        ("original", originals),
        ("reconstruction", inverted),
        ("reconstruction_random", randomised),
    ):
        if oracle and not np.isnan(aus).all():
            agreement = pearson_per_au(aus, oracle.predict(to_uint8(images)))
            metrics[f"au_pearson_{name}"] = mean_defined(agreement)
    features = [
        torch.cat(
            [generator.encode(images[chunk]).z.cpu() for chunk in _chunks(len(images))]
        ).numpy()
        for images in (sampled, originals)
    ]
    metrics["frechet"] = frechet_distance(*features)
    row = slice(0, 12)
    return metrics, grid(originals[row], inverted[row], randomised[row], sampled[row])


def _chunks(count: int) -> Iterator[slice]:
    return (slice(start, start + _BATCH) for start in range(0, count, _BATCH))


def model_card(
    options: TrainingOptions, faces: TrainingFaces, rendered: bool, metrics: dict[str, float]
) -> str:
    """The README.md of a trained generator.

    Args:
        options: training options.
        faces: training and held-out faces.
        rendered: whether the faces were rendered from the embedded world.
        metrics: metrics on held-out faces.
    """
    unet, warm, training, prior = (
        options.unet,
        options.warm_start,
        options.autoencoder,
        options.prior,
    )
    title, origin = "Diffusion Autoencoder", "faces of a user's table"
    if rendered:
        title += " of the embedded world"
        origin = f"faces of `{options.dataset}`, all rendered: no photograph of a person was used"
    readings = ""
    if any(name.startswith("au_pearson") for name in metrics):
        readings = """ `au_pearson_*` is the correlation,
averaged over AUs, between true AU intensities and those read from the images by an estimator that
shares no training data with this model."""
    rows = "\n".join(f"| {name} | {value:.4g} |" for name, value in metrics.items())
    return f"""# {title}

Semantic encoder, conditional DDIM decoder and latent prior (Preechakul et al., CVPR 2022) for
{unet.image_size} px {origin}.
z_sem has {unet.z_dim} dimensions.

- Data: {len(faces.train)} faces, randomly mirrored, without labels.
- Warm start: {warm.steps} steps in which the encoder learns {unet.z_dim} principal components.
- Training: {training.steps} steps of {training.batch_size}, AdamW at {training.learning_rate:g}
  with cosine decay, {unet.prediction} prediction in {options.dtype}, timesteps drawn with density
  t^{options.timestep_skew:g}, face weight {options.face_weight:g}, detail {options.detail:g},
  weights averaged with decay {training.ema_decay}.
- Prior: {prior.steps} steps of {prior.batch_size}.
- Command: `python -m tasks.generator`.

Measured on {len(faces.test)} faces of people not in the training set, {options.eval_steps} steps of
{options.eval_solver} each way. `frechet` is the Fréchet distance between the normalised z_sem of
held-out faces and of samples from the prior.{readings}

| metric | value |
| --- | --- |
{rows}

`samples.png`, rows from the top: held-out faces, the same decoded from their own inverted x_T, the
same decoded from a random x_T, unconditional samples.
"""
