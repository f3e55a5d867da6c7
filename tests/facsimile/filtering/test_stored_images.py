"""The filter decides on images in a file as on images in memory, block by block as in one."""

from pathlib import Path

import numpy as np
import pytest
from sklearn.neighbors import NearestNeighbors

from facsimile.faces.picture_store import picture_store
from facsimile.faces.tables import FACE_SCHEMA, read_located, write_shards
from facsimile.filtering import RealismRanker
from facsimile.filtering.duplicates import near_duplicates
from tests.support.faces import face_table, noise_images

COUNT = 700  # two whole blocks of the search for duplicates, and a part of one


@pytest.fixture
def both(tmp_path: Path):
    """Images in memory and in a file; a third are copies of others, up to 3/255 brighter."""
    images = noise_images(COUNT, 32) // 2
    copies, originals = np.random.default_rng(0).permutation(COUNT)[: COUNT // 3 * 2].reshape(2, -1)
    images[copies] = (
        images[originals] + np.arange(len(copies), dtype=np.uint8)[:, None, None, None] % 4
    )
    faces = face_table([f"face/{n}" for n in range(COUNT)], images=images)
    write_shards([faces], tmp_path / "faces", FACE_SCHEMA, rows_per_shard=300)
    with picture_store(tmp_path) as store:
        yield images, store.decode(read_located(tmp_path / "faces", ["sample_id"]))


def test_duplicates_are_those_of_one_search(both):
    in_memory, stored = both
    active, rms = np.zeros((COUNT, 12)), 0.004
    blocks = in_memory.reshape(COUNT, 16, 2, 16, 2, 3).mean((2, 4), dtype=np.float32)
    thumbnails = blocks.reshape(COUNT, -1) / 255
    search = NearestNeighbors(radius=rms * np.sqrt(thumbnails.shape[1])).fit(thumbnails)
    expected = np.full(COUNT, -1)
    for row, near in enumerate(search.radius_neighbors(thumbnails, return_distance=False)):
        earlier = [other for other in near if other < row and expected[other] < 0]
        expected[row] = min(earlier, default=-1)
    assert 20 < (expected >= 0).sum() < COUNT // 3  # some copies differ too much
    for images in (in_memory, stored):
        found = near_duplicates(images, active, np.ones(COUNT, bool), rms)
        np.testing.assert_array_equal(found, expected)


def test_realism_is_equal(both):
    in_memory, stored = both
    people = np.arange(COUNT) // 5
    half = COUNT // 2
    ranker = RealismRanker(seed=0, epochs=1)
    first, second = np.arange(half), np.arange(half, COUNT)
    expected = ranker.fit_predict(in_memory[:half], people[:half], in_memory[half:], people[half:])
    np.testing.assert_array_equal(
        ranker.fit_predict(
            type(stored)(stored.path, stored.size, stored.rows[first]),
            people[:half],
            type(stored)(stored.path, stored.size, stored.rows[second]),
            people[half:],
        ),
        expected,
    )
