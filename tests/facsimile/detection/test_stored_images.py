"""Detectors trained on images in a file and their readings equal those of images in memory."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from facsimile.detection import AUDetector, AUEnsemble, AUOracle, DetectorTraining, LabelledFaces
from facsimile.faces.picture_store import StoredPictures, picture_store
from facsimile.faces.tables import FACE_SCHEMA, read_located, write_shards
from tests.facsimile.detection.faces import bars
from tests.support.faces import face_table

pytestmark = pytest.mark.slow

COUNT = 600  # two whole batches of predictions, and a part of one


@pytest.fixture(scope="module")
def both(tmp_path_factory) -> Iterator[tuple[np.ndarray, StoredPictures, np.ndarray]]:
    """Images in memory and in a file, and their AUs."""
    folder: Path = tmp_path_factory.mktemp("stored")
    images, aus = bars(COUNT, seed=1)
    faces = face_table([f"face/{n}" for n in range(COUNT)], images=images)
    write_shards([faces], folder / "faces", FACE_SCHEMA, rows_per_shard=250)
    with picture_store(folder) as store:
        yield images, store.decode(read_located(folder / "faces", ["sample_id"])), aus


def test_trained_weights_are_equal(both):
    *kinds, aus = both
    generated = np.arange(COUNT) % 2 == 0
    training = DetectorTraining(seed=0, epoch_faces=64, batch_size=16, epochs=1)
    states = []
    for images in kinds:
        faces = LabelledFaces(images, aus, generated=generated)
        states.append(training.run(faces, faces).state_dict())
    for name, value in states[0].items():
        assert torch.equal(value, states[1][name]), name


def test_readings_are_equal(both):
    in_memory, stored, _ = both
    torch.manual_seed(0)
    members = [AUDetector(64).eval() for _ in range(2)]
    ensemble, oracle = AUEnsemble(members), AUOracle(64).eval()
    # Averaged over whole arrays, as if all images were predicted at once.
    views = [m.predict(view) for m in members for view in (in_memory, in_memory[:, :, ::-1])]
    np.testing.assert_array_equal(ensemble.predict(stored), np.mean(views, axis=0))
    for found, expected in zip(
        *(oracle.predict_with_embeddings(images) for images in (stored, in_memory)), strict=True
    ):
        np.testing.assert_array_equal(found, expected)
