"""A linear world in place of the generator, where every true direction is known."""

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import pytest
import torch

from facsimile.editing import AnnotatedFaces, LinearEditor, LinearOptions
from facsimile.editing.causal_graph import CausalGraph
from facsimile.editing.directions import Directions, fit_directions
from facsimile.faces.aus import AUS, NUISANCES
from facsimile.generator import Codes
from facsimile.seeding import sample_noise

Z_DIM = 24
SIZE = 4  # 3 * 4 * 4 pixels: twice as many as z has dimensions


class LinearGenerator:
    """A `Generator` that decodes by a fixed linear map of z and a trace of x_T."""

    z_dim = Z_DIM
    image_size = SIZE
    device = torch.device("cpu")
    digest = "g" * 32

    def __init__(self) -> None:
        draws = torch.Generator().manual_seed(5)
        self.map = torch.randn(Z_DIM, 3 * SIZE * SIZE, generator=draws) / 40

    def decode(self, codes: Codes) -> torch.Tensor:
        return (self._pixels(codes) + 0.01 * codes.x_t).clamp(-1, 1)

    def invert(self, images: torch.Tensor, codes: Codes) -> Codes:
        return replace(codes, x_t=(images - self._pixels(codes)) / 0.01)

    def encode(self, images: torch.Tensor) -> Codes:
        return Codes(images.flatten(1) @ torch.linalg.pinv(self.map))

    def sample(self, ids: list[str], seed: int) -> Codes:
        return Codes(sample_noise(seed, [f"{name}/z" for name in ids], (Z_DIM,)))

    def _pixels(self, codes: Codes) -> torch.Tensor:
        return (codes.z @ self.map).reshape(-1, 3, SIZE, SIZE)


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
def generator() -> LinearGenerator:
    return LinearGenerator()


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


def annotated(
    z: np.ndarray,
    subjects: np.ndarray,
    aus: np.ndarray | None = None,
    nuisances: np.ndarray | None = None,
) -> AnnotatedFaces:
    """Labelled codes without images."""
    nothing = np.full((len(z), len(AUS)), np.nan)
    return AnnotatedFaces(
        Codes(torch.from_numpy(z)),
        nothing if aus is None else aus,
        nothing[:, : len(NUISANCES)] if nuisances is None else nuisances,
        np.asarray(subjects),
        read_images=lambda: pytest.fail("nothing to decode"),
    )


def fit_world(world: World, graph: CausalGraph | None = None, **options) -> Directions:
    """Uncalibrated directions of 60 subjects, without nuisances unless they are projected."""
    z, aus, _, subjects = world.draw(subjects=60, frames=10, seed=0)
    options = LinearOptions(**{"model": "combined", "project": (), **options})
    graph = graph or CausalGraph.from_config({})
    return fit_directions(annotated(z, subjects, aus), None, graph, options)


@pytest.fixture(scope="session")
def editor(world) -> LinearEditor:
    return LinearEditor.from_directions(fit_world(world))
