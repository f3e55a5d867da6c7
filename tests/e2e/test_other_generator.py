"""Every stage with another generator than the Diffusion Autoencoder: one without x_T."""

import json
from collections.abc import Iterator, Sequence
from contextlib import chdir
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner

from cli.app import app
from facsimile.digests import file_md5
from facsimile.faces.tables import decode_images, read_faces, read_table, to_tensor, to_uint8
from facsimile.generator import (
    CONFIG_FILE,
    GENERATORS,
    WEIGHTS_FILE,
    Codes,
    InferenceOptions,
    load_generator,
)
from facsimile.seeding import sample_noise
from tests.e2e.test_few_aus import SIZE, noise, prepare, run_stages

pytestmark = pytest.mark.slow

Z_DIM = 12


class PrincipalFaces:
    """A `Generator` that knows faces by their principal components. It needs no x_T.

    Args:
        mean: mean face, flattened (P,).
        components: principal components (Z_DIM, P), each as long as the faces' standard deviation
            along it.
        digest: MD5 of the weights.
    """

    image_size = SIZE
    z_dim = Z_DIM
    device = torch.device("cpu")

    def __init__(self, mean: torch.Tensor, components: torch.Tensor, digest: str) -> None:
        self.mean, self.components, self.digest = mean, components, digest

    @staticmethod
    def train(images: torch.Tensor, folder: Path) -> None:
        """Fit to images and save."""
        faces = images.flatten(1)
        mean = faces.mean(0)
        _, singular, axes = torch.linalg.svd(faces - mean, full_matrices=False)
        components = axes[:Z_DIM] * singular[:Z_DIM, None] / len(faces) ** 0.5
        folder.mkdir(parents=True)
        save_file({"mean": mean, "components": components.contiguous()}, folder / WEIGHTS_FILE)
        (folder / CONFIG_FILE).write_text(json.dumps({"generator": "pca"}))
        (folder / "metrics.json").write_text('{"images_seen": 64}')

    @classmethod
    def load(cls, folder: Path, device: str, options: InferenceOptions) -> "PrincipalFaces":
        return cls(**load_file(folder / WEIGHTS_FILE), digest=file_md5(folder / WEIGHTS_FILE))

    def encode(self, images: torch.Tensor) -> Codes:
        return Codes((images.flatten(1) - self.mean) @ torch.linalg.pinv(self.components))

    def invert(self, images: torch.Tensor, codes: Codes) -> Codes:
        return codes

    def decode(self, codes: Codes) -> torch.Tensor:
        faces = self.mean + codes.z @ self.components
        return faces.reshape(-1, 3, SIZE, SIZE)

    def sample(self, ids: Sequence[str], seed: int) -> Codes:
        return Codes(sample_noise(seed, ids, (Z_DIM,)))


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A project whose stages have all run with principal components."""
    root = tmp_path_factory.mktemp("project")
    with chdir(root), pytest.MonkeyPatch.context() as patch:
        patch.setitem(GENERATORS, "pca", PrincipalFaces.load)
        torch.manual_seed(0)
        prepare(root)
        PrincipalFaces.train(to_tensor(noise(64)), root / "data/generator")
        run_stages()
        yield root


def test_faces_are_chosen_for_editing_though_none_has_an_x_t(project: Path) -> None:
    latents = read_table(project / "data/encode/few")
    assert latents["x_t"].isna().all() and 0 < latents["editable"].sum() < len(latents)
    chosen = set(latents.loc[latents["editable"], "sample_id"])
    neutral = read_table(project / "data/neutral/faces")
    assert neutral["x_t"].isna().all() and len(neutral) == 4
    edited = read_faces(project / "data/edit/faces")
    assert set(edited["source_id"]) <= chosen | set(neutral["sample_id"])
    assert set(edited["dataset"]) == {"few", "people"}


@pytest.mark.parametrize("stage", ["edit", "synthesize", "transfer"])
def test_faces_are_decoded_by_the_registered_generator(project: Path, stage: str) -> None:
    faces = read_faces(project / "data" / stage / "faces")
    assert set(faces["generator_md5"]) == {file_md5(project / "data/generator" / WEIGHTS_FILE)}
    decoded = to_uint8(load_generator(project / "data/generator").decode(Codes.from_table(faces)))
    np.testing.assert_array_equal(decode_images(faces), decoded)


def test_detectors_are_trained_and_evaluated_on_what_it_made(project: Path) -> None:
    accepted = read_faces(project / "data/filter/faces")
    assert set(accepted["origin"]) == {"edited", "synthetic", "transferred"}
    metrics = json.loads((project / "data/evaluate/metrics.json").read_text())
    assert set(metrics["f1"]) == {"real", "real+generated"}
    page = (project / "data/evaluate/report.html").read_text()
    assert "<html" in page


@pytest.mark.parametrize("stage", ["edit", "synthesize", "transfer"])
def test_its_faces_are_traced_and_made_again(project: Path, stage: str) -> None:
    name = read_faces(project / "data" / stage / "faces")["sample_id"].iloc[0]
    for arguments in (["lineage", name], ["lineage", "--rebuild", name]):
        result = CliRunner().invoke(app, [*arguments, "--root", str(project)])
        assert result.exit_code == 0, result.output
    assert result.output.startswith("same: largest pixel difference")
