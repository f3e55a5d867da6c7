"""A linear world in place of the generator, where every true direction is known."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest
import torch

from facsimile.faces.aus import AUS, NUISANCES

Z_DIM = 24
SIZE = 4  # 3 * 4 * 4 pixels: twice as many as z has dimensions


class LinearPipeline:
    """Decodes by a fixed linear map of z and a trace of x_T; the methods of the real pipeline."""

    z_dim = Z_DIM
    image_size = SIZE
    device = torch.device("cpu")

    def __init__(self) -> None:
        generator = torch.Generator().manual_seed(5)
        self.mean = torch.randn(Z_DIM, generator=generator)
        self.std = 0.5 + torch.rand(Z_DIM, generator=generator)
        self.map = torch.randn(Z_DIM, 3 * SIZE * SIZE, generator=generator) / 40

    def normalize(self, z_sem):
        return (z_sem - self.mean) / self.std

    def denormalize(self, z):
        return z * self.std + self.mean

    def decode(self, z_sem, x_t, steps):
        pixels = self.normalize(z_sem) @ self.map
        return (pixels.reshape(-1, 3, SIZE, SIZE) + 0.01 * x_t).clamp(-1, 1)

    def invert(self, images, z_sem, steps):
        pixels = self.normalize(z_sem) @ self.map
        return (images - pixels.reshape(-1, 3, SIZE, SIZE)) / 0.01

    def encode(self, images):
        return self.denormalize(images.flatten(1) @ torch.linalg.pinv(self.map))

    def sample_z(self, noise, steps):
        return self.denormalize(noise)


@dataclass
class World:
    """Normalised codes ``z = aus A + nuisances V + person + noise``.

    AU06 and AU12 share a cause (a smile), AU25 follows AU26, and glasses belong to the person.
    """

    au_axes: np.ndarray  # A (12, D)
    nuisance_axes: np.ndarray  # V (4, D)

    def draw(self, subjects: int, frames: int, seed: int):
        """z (N, D), aus (N, 12), nuisances (N, 4), subject ids (N,); N = subjects × frames."""
        rng = np.random.default_rng(seed)
        n = subjects * frames
        subject = np.repeat(np.arange(subjects), frames)
        aus = np.clip(rng.normal(-0.5, 0.7, (n, 12)), 0, 1)
        smile = np.clip(rng.normal(-0.2, 0.8, n), 0, 1)
        aus[:, AUS.index("AU06")] = np.clip(0.8 * smile + 0.1 * rng.normal(size=n), 0, 1)
        aus[:, AUS.index("AU12")] = np.clip(smile + 0.1 * rng.normal(size=n), 0, 1)
        au25 = AUS.index("AU25")
        aus[:, au25] = np.maximum(aus[:, au25], 0.5 * aus[:, AUS.index("AU26")])
        person = np.column_stack([rng.random((subjects, 3)) < 0.4, rng.random(subjects)])
        nuisances = person[subject].astype(float)
        z = aus @ self.au_axes + (nuisances - 0.5) @ self.nuisance_axes
        z += 0.25 * rng.normal(size=(subjects, Z_DIM))[subject] + 0.2 * rng.normal(size=(n, Z_DIM))
        return z, aus, nuisances, np.array([f"S{s:03d}" for s in subject])


@pytest.fixture(scope="session")
def world() -> World:
    rng = np.random.default_rng(1)
    axes, _ = np.linalg.qr(rng.normal(size=(Z_DIM, len(AUS) + len(NUISANCES))))
    mixed = 2 * axes.T + 0.15 * rng.normal(size=(len(AUS) + len(NUISANCES), Z_DIM))
    return World(mixed[: len(AUS)], mixed[len(AUS) :])


@pytest.fixture(scope="session")
def pipeline() -> LinearPipeline:
    return LinearPipeline()


def face_rows(aus: np.ndarray, nuisances: np.ndarray, subjects: np.ndarray) -> pd.DataFrame:
    """Face rows without images."""
    return pd.DataFrame(
        {
            "sample_id": [f"disfa/{s}/{i:06d}" for i, s in enumerate(subjects)],
            "dataset": "disfa",
            "subject_id": subjects,
            "split": "train",
            **dict(zip(AUS, aus.T, strict=True)),
            "au_presence_only": False,
            **dict(zip(NUISANCES, nuisances.T, strict=True)),
        }
    )
