"""Shards are written whole or not at all, read back as they were, and open as images elsewhere."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from facsimile.errors import FacsimileError
from facsimile.faces.aus import AUS
from facsimile.faces.tables import (
    FACE_SCHEMA,
    GENERATED_SCHEMA,
    LATENT_SCHEMA,
    decode_images,
    image_structs,
    iter_rows,
    iter_table,
    read_faces,
    read_located,
    read_rows,
    read_table,
    to_tensor,
    to_uint8,
    write_shards,
)
from tests.support.faces import face_table


def make_faces(count: int, first: int = 0) -> tuple[pd.DataFrame, np.ndarray]:
    images = np.random.default_rng(first).integers(0, 256, (count, 8, 8, 3), np.uint8)
    ids = [f"d/SN{k:03d}/0" for k in range(first, first + count)]
    faces = pd.DataFrame(
        {
            "sample_id": ids,
            "dataset": "d",
            "subject_id": [sample_id[:-2] for sample_id in ids],
            "split": "train",
            "image": image_structs(images, ids),
            "AU01": np.linspace(0, 1, count, dtype=np.float32),
            "au_presence_only": False,
            "origin": "real",
        }
    )
    return faces, images


def test_faces_round_trip_across_shards(tmp_path):
    parts = [make_faces(5, first) for first in (0, 5, 10)]
    rows = write_shards((p for p, _ in parts), tmp_path / "faces", FACE_SCHEMA, rows_per_shard=4)
    assert rows == 15
    shards = sorted((tmp_path / "faces").iterdir())
    assert [pq.read_metadata(shard).num_rows for shard in shards] == [4, 4, 4, 3]

    faces = read_faces(tmp_path / "faces")
    assert list(faces.columns) == FACE_SCHEMA.names
    assert list(faces["sample_id"]) == [f"d/SN{k:03d}/0" for k in range(15)]
    assert np.array_equal(decode_images(faces), np.concatenate([images for _, images in parts]))
    assert faces["AU01"].dtype == np.float32
    assert faces[list(AUS[1:])].isna().all(axis=None)


def test_stream_equals_read(tmp_path):
    write_shards([make_faces(7)[0]], tmp_path / "faces", FACE_SCHEMA, rows_per_shard=3)
    columns = ["sample_id", "AU01"]
    batches = list(iter_table(tmp_path / "faces", 2, columns))
    assert [len(batch) for batch in batches] == [2, 1, 2, 1, 1]
    streamed = pd.concat(batches, ignore_index=True)
    pd.testing.assert_frame_equal(streamed, read_table(tmp_path / "faces", columns))


def test_a_stream_does_not_hold_the_images_of_a_shard(tmp_path):
    large = np.random.default_rng(0).integers(0, 256, (400, 200, 200, 3), np.uint8)
    write_shards([face_table([f"p/{n}" for n in range(400)], images=large)], tmp_path, FACE_SCHEMA)
    (shard,) = tmp_path.iterdir()
    before = pa.total_allocated_bytes()
    streams = (
        iter_table(tmp_path, 4, ["sample_id", "image"]),
        iter_rows(tmp_path, 4, ["p/0", "p/399"], ["sample_id", "image"]),
    )
    for stream in streams:
        next(stream)
        assert pa.total_allocated_bytes() - before < shard.stat().st_size / 4


def test_rows_are_chosen_by_id(tmp_path):
    faces, _ = make_faces(7)
    write_shards([faces], tmp_path / "faces", FACE_SCHEMA, rows_per_shard=3)
    ids = [faces["sample_id"][row] for row in (6, 0, 1)]
    rows = read_rows(tmp_path / "faces", [*ids, "absent"], ["sample_id", "AU01"])
    pd.testing.assert_frame_equal(
        rows, faces.loc[[0, 1, 6], ["sample_id", "AU01"]].reset_index(drop=True)
    )
    assert list(read_rows(tmp_path / "faces", [], ["sample_id", "AU01"])) == ["sample_id", "AU01"]
    located = read_located(tmp_path / "faces", ["AU01"])
    assert set(located["table"]) == {str(tmp_path / "faces")}


def test_empty_table_keeps_its_columns(tmp_path):
    assert write_shards([], tmp_path / "faces", FACE_SCHEMA) == 0
    faces = read_faces(tmp_path / "faces")
    assert len(faces) == 0
    assert list(faces.columns) == FACE_SCHEMA.names


def test_latents_round_trip(tmp_path):
    z = np.array([[0.5, -1.25], [3.0, 1e-8]], np.float32)
    latents = pd.DataFrame(
        {"sample_id": ["a", "b"], "z": list(z), "x_t": [np.ones(12, np.float16), None]}
    )
    latents["editable"] = [True, False]
    write_shards([latents], tmp_path / "latents", LATENT_SCHEMA)
    read = read_table(tmp_path / "latents")
    assert np.array_equal(np.stack(read["z"]), z)
    assert read["x_t"][0].dtype == np.float16
    assert read["x_t"][1] is None


@pytest.mark.parametrize("before", [False, True])
def test_failed_write_leaves_nothing_behind(tmp_path, before):
    if before:
        write_shards([make_faces(2)[0]], tmp_path / "faces", FACE_SCHEMA)

    def interrupted():
        yield make_faces(6)[0]
        raise RuntimeError("out of memory")

    with pytest.raises(RuntimeError, match="out of memory"):
        write_shards(interrupted(), tmp_path / "faces", FACE_SCHEMA, rows_per_shard=2)
    assert [path.name for path in tmp_path.iterdir()] == ["faces"] * before
    if before:
        assert len(read_faces(tmp_path / "faces")) == 2


def test_rewriting_replaces_all_shards_and_clears_remains(tmp_path):
    (tmp_path / ".faces.99999.tmp").mkdir()  # of a writer that was killed
    write_shards([make_faces(9)[0]], tmp_path / "faces", FACE_SCHEMA, rows_per_shard=2)
    write_shards([make_faces(3)[0]], tmp_path / "faces", FACE_SCHEMA, rows_per_shard=2)
    assert len(read_faces(tmp_path / "faces")) == 3
    assert [path.name for path in tmp_path.iterdir()] == ["faces"]


def test_read_faces_checks_across_shards(tmp_path):
    twice = make_faces(2)[0]
    write_shards([twice, twice], tmp_path / "faces", FACE_SCHEMA, rows_per_shard=2)
    with pytest.raises(FacsimileError) as error:
        read_faces(tmp_path / "faces")
    message = "row 2 column sample_id: d/SN000/0 duplicate (and 1 more)"
    assert str(error.value) == f"{tmp_path / 'faces'}: {message}"


def test_unreadable_tables_name_the_file(tmp_path):
    with pytest.raises(FacsimileError) as error:
        read_table(tmp_path / "nowhere")
    assert str(error.value) == f"{tmp_path / 'nowhere'}: no Parquet table here"

    file = tmp_path / "broken.parquet"
    file.write_bytes(b"PAR1 cut short")
    with pytest.raises(FacsimileError, match=r"broken\.parquet: not a readable Parquet file"):
        read_table(file)


@pytest.mark.parametrize(
    "read", [read_table, lambda path, columns: list(iter_table(path, 8, columns))]
)
def test_missing_column_is_named(tmp_path, read):
    write_shards([make_faces(2)[0]], tmp_path / "faces", FACE_SCHEMA)
    with pytest.raises(FacsimileError) as error:
        read(tmp_path / "faces", ["sample_id", "z"])
    shard = tmp_path / "faces" / "part-00000.parquet"
    assert str(error.value) == f"{shard}: missing column z"


def test_truncated_image_names_the_sample():
    faces, _ = make_faces(3)
    whole = faces["image"][1]
    faces.at[1, "image"] = {**whole, "bytes": whole["bytes"][:60]}
    with pytest.raises(
        FacsimileError, match=r"^faces\.parquet: d/SN001/0: image is unreadable \("
    ) as e:
        decode_images(faces, "faces.parquet")
    assert "\n" not in str(e.value)


def test_images_of_another_size_are_refused():
    faces, _ = make_faces(2)
    faces.at[1, "image"] = image_structs(np.zeros((1, 4, 6, 3), np.uint8), ["x"])[0]
    with pytest.raises(FacsimileError) as error:
        decode_images(faces, "f")
    assert str(error.value) == "f: d/SN001/0: image is (4, 6), but others are (8, 8)"


def test_every_byte_survives_the_float_range():
    images = np.arange(256, dtype=np.uint8).repeat(3).reshape(1, 16, 16, 3)
    tensor = to_tensor(images)
    assert tensor.shape == (1, 3, 16, 16)
    assert (tensor.min(), tensor.max()) == (-1.0, 1.0)
    assert np.array_equal(to_uint8(tensor), images)
    assert to_uint8(torch.tensor([[[[-3.0]], [[0.0]], [[3.0]]]])).ravel().tolist() == [0, 128, 255]


@pytest.mark.parametrize("schema", [FACE_SCHEMA, GENERATED_SCHEMA], ids=["faces", "generated"])
def test_hugging_face_datasets_opens_shards_as_images(tmp_path, monkeypatch, schema):
    monkeypatch.setenv("HF_DATASETS_OFFLINE", "1")
    datasets = pytest.importorskip("datasets")
    faces, images = make_faces(3)
    write_shards([faces.assign(z=[[0.0, 1.0]] * 3)], tmp_path / "faces", schema)
    loaded = datasets.load_dataset(
        "parquet", data_files=str(tmp_path / "faces" / "*.parquet"), cache_dir=str(tmp_path / "hf")
    )["train"]
    assert isinstance(loaded.features["image"], datasets.Image)
    assert np.array_equal(np.asarray(loaded[2]["image"]), images[2])
    assert loaded[2]["AU01"] == 1.0
    assert loaded[2]["AU02"] is None
