"""Images read from a store are those of the tables, and only the stored file holds all of them."""

import pickle
import shutil
from collections import namedtuple
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from facsimile.errors import FacsimileError
from facsimile.faces import picture_store as module
from facsimile.faces.picture_store import StoredPictures, iter_images, picture_store
from facsimile.faces.tables import (
    FACE_SCHEMA,
    decode_images,
    read_faces,
    read_located,
    write_shards,
)
from tests.support.faces import face_table


@pytest.fixture
def tables(tmp_path: Path) -> list[Path]:
    """Two tables of 7 and 5 faces, in shards of 3."""
    paths = []
    for name, count in (("one", 7), ("other", 5)):
        path = tmp_path / name
        images = np.random.default_rng(count).integers(0, 256, (count, 8, 8, 3), np.uint8)
        faces = face_table([f"face/{n}" for n in range(count)], images=images)
        write_shards([faces], path, FACE_SCHEMA, rows_per_shard=3)
        paths.append(path)
    return paths


def located(path: Path) -> pd.DataFrame:
    return read_located(path, ["sample_id"])


def test_images_are_those_of_the_rows_in_their_order(tables, tmp_path):
    one, other = (decode_images(read_faces(path)) for path in tables)
    rows = pd.concat([located(tables[1])[::-1], located(tables[0])[2:6], located(tables[1])[:1]])
    expected = np.concatenate([other[::-1], one[2:6], other[:1]])
    with picture_store(tmp_path) as store:
        images = store.decode(rows)
        assert images.shape == expected.shape and len(images) == len(expected)
        for index in (slice(None), slice(2, 5), np.array([7, 0, 7]), np.arange(10) % 3 == 0):
            found = images[index]
            assert type(found) is np.ndarray and found.dtype == np.uint8
            np.testing.assert_array_equal(found, expected[index])
        assert images[:0].shape == (0, 8, 8, 3)


def test_each_image_is_decoded_once(tables, tmp_path, monkeypatch):
    decoded = []

    def count(faces: pd.DataFrame, source: str) -> np.ndarray:
        decoded.extend(faces["sample_id"])
        return decode_images(faces, source)

    monkeypatch.setattr(module, "decode_images", count)
    rows = located(tables[0])
    with picture_store(tmp_path) as store:
        store.decode(rows[:4])
        again = store.decode(pd.concat([rows, rows[:1]]))
        assert sorted(decoded) == sorted(rows["sample_id"])
        assert again.path.stat().st_size == 7 * 8 * 8 * 3
        np.testing.assert_array_equal(again[np.array([7])], again[np.array([0])])


def test_a_copy_of_another_process_reads_the_same_file(tables, tmp_path):
    with picture_store(tmp_path) as store:
        images = store.decode(located(tables[0]))
        text = pickle.dumps(images)
        assert len(text) < images[:].nbytes
        copy = pickle.loads(text)
        assert isinstance(copy, StoredPictures)
        np.testing.assert_array_equal(copy[:], images[:])


def test_the_file_is_removed_also_after_an_error(tables, tmp_path):
    folder = tmp_path / "stage"
    folder.mkdir()
    with pytest.raises(ZeroDivisionError), picture_store(folder) as store:
        assert store.decode(located(tables[0])).path.is_relative_to(folder)
        raise ZeroDivisionError
    assert not list(folder.iterdir())


def test_progress_counts_new_faces(tables, tmp_path):
    shown = []

    class Bar:
        def __init__(self, name: str, total: int) -> None:
            shown.append([name, total])

        def __enter__(self):
            return shown[-1].append

        def __exit__(self, *_):
            pass

    with picture_store(tmp_path, Bar) as store:
        store.decode(located(tables[0])[:2])
        store.decode(pd.concat([located(path) for path in tables]))
    assert shown == [
        [f"decode {tables[0]}", 2, 2],
        [f"decode {tables[0]}", 5, 5],
        [f"decode {tables[1]}", 5, 5],
    ]


def test_batches_of_a_stream_are_full_across_shards(tables):
    images = decode_images(read_faces(tables[0]))
    wanted = [f"face/{n}" for n in (5, 0, 1, 2, 4)]
    parts = list(iter_images(tables[0], wanted, 2))
    assert [names for names, _ in parts] == [["face/0", "face/1"], ["face/2", "face/4"], ["face/5"]]
    rows = [0, 1, 2, 4, 5]
    np.testing.assert_array_equal(np.concatenate([part for _, part in parts]), images[rows])
    assert list(iter_images(tables[0], ["absent"], 2)) == []


def test_no_faces_are_no_images(tables, tmp_path):
    with picture_store(tmp_path) as store:
        assert store.decode(located(tables[0])[:0])[:].shape == (0, 0, 0, 3)


def test_errors_name_the_table_and_the_face(tables, tmp_path, monkeypatch):
    large = tmp_path / "large"
    images = np.zeros((2, 16, 16, 3), np.uint8)
    write_shards([face_table(["big/0", "big/1"], images=images)], large, FACE_SCHEMA)
    with picture_store(tmp_path) as store:
        store.decode(located(tables[0]))
        with pytest.raises(FacsimileError, match=r"large: big/0: image is \(16, 16\), but others"):
            store.decode(located(large))
        with pytest.raises(FacsimileError, match="one: no face absent; write the table again"):
            store.decode(located(tables[0]).assign(sample_id="absent"))
    usage = namedtuple("usage", "free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(1000))
    with (
        picture_store(tmp_path) as store,
        pytest.raises(FacsimileError, match=r"one: 7 images need 0\.0 GB of disk space"),
    ):
        store.decode(located(tables[0]))
