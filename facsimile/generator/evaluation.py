"""Quality of a generator: fidelity of reconstructions and distribution of samples."""

from dataclasses import replace

import numpy as np
from scipy import linalg
from torch import Tensor
from torchmetrics.functional.image import (
    peak_signal_noise_ratio,
    structural_similarity_index_measure,
)

from facsimile.generator.base import Generator
from facsimile.seeding import sample_noise


def fidelity(images: Tensor, reference: Tensor) -> tuple[float, float]:
    """Mean SSIM and PSNR (dB) of images against a reference, both (N, 3, H, W) in [-1, 1].

    Both are computed on images scaled to [0, 1] with data_range=1. SSIM uses the defaults of
    torchmetrics: a Gaussian window with sigma 1.5 (11 × 11 pixels), k1 = 0.01, k2 = 0.03, averaged
    over channels and pixels. PSNR is computed per image, then averaged.
    """
    ssim, psnr = similarity(images, reference)
    return float(ssim.mean()), float(psnr.mean())


def similarity(images: Tensor, reference: Tensor) -> tuple[Tensor, Tensor]:
    """SSIM and PSNR (dB) of each of N images, (N,) each; see `fidelity`."""
    # SSIM compares mean luminances, which must not be negative.
    images, reference = (images + 1) / 2, (reference + 1) / 2
    ssim = structural_similarity_index_measure(images, reference, data_range=1.0, reduction="none")
    psnr = peak_signal_noise_ratio(
        images, reference, data_range=1.0, reduction="none", dim=(1, 2, 3)
    )
    return ssim.reshape(-1), psnr.reshape(-1)


def reconstruct(
    generator: Generator, images: Tensor, sample_ids: list[str], seed: int
) -> tuple[Tensor, Tensor]:
    """Decode each face from its own inverted x_T and from a random x_T.

    Args:
        generator: a generator with x_T.
        images: (B, 3, H, W) in [-1, 1].
        sample_ids: B ids that seed the random x_T.
        seed: seed of the random x_T.

    Returns:
        Two batches shaped like `images`: decoded from the inverted and from the random x_T.
    """
    codes = generator.encode(images)
    inverted = generator.decode(generator.invert(images, codes))
    noise = sample_noise(seed, sample_ids, images.shape[1:])
    return inverted, generator.decode(replace(codes, x_t=noise))


def sample_faces(generator: Generator, sample_ids: list[str], seed: int) -> Tensor:
    """Unconditional faces (B, 3, H, W): z from the latent prior, x_T from noise."""
    size = generator.image_size
    x_t = sample_noise(seed, sample_ids, (3, size, size))
    return generator.decode(replace(generator.sample(sample_ids, seed), x_t=x_t))


def frechet_distance(features: np.ndarray, reference: np.ndarray) -> float:
    """Fréchet distance between Gaussians fitted to two feature sets (N, D) and (M, D).

    d² = |m1 - m2|² + tr(C1 + C2 - 2 (C1 C2)^½) (Heusel et al. 2017, eq. 6).
    """
    mean_1, mean_2 = features.mean(0), reference.mean(0)
    cov_1, cov_2 = np.cov(features, rowvar=False), np.cov(reference, rowvar=False)
    # tr (C1 C2)^½ is the sum of roots of the eigenvalues of C1 C2, which are real and ≥ 0.
    eigenvalues = linalg.eigvals(cov_1 @ cov_2).real.clip(min=0)
    trace = np.trace(cov_1) + np.trace(cov_2) - 2 * np.sqrt(eigenvalues).sum()
    return float(np.square(mean_1 - mean_2).sum() + trace)
