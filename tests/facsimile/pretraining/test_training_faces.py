"""Training faces from any table: decoded once, never mixed with those of another training."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from facsimile.errors import FacsimileError
from facsimile.faces.aus import AUS
from facsimile.faces.tables import FACE_SCHEMA, image_structs, write_shards
from facsimile.pretraining import TrainingOptions, open_faces
from facsimile.world import population

OPTIONS = TrainingOptions(unet={"image_size": 8}, holdout=2)


def write_table(path: Path, **columns: Any) -> np.ndarray:
    """Write a table with four faces in split train and three in test, annotated for AU12."""
    images = np.random.default_rng(0).integers(0, 256, (7, 8, 8, 3), np.uint8)
    ids = [f"mine/{n}" for n in range(7)]
    rows = pd.DataFrame({"sample_id": ids, "subject_id": ids, "dataset": "mine", "origin": "real"})
    rows["split"] = ["train", "test"] * 3 + ["train"]
    rows["AU12"] = np.arange(7) / 10
    rows = rows.assign(au_presence_only=False, image=image_structs(images, ids), **columns)
    write_shards([rows], path, FACE_SCHEMA, rows_per_shard=3)
    return images


def test_splits_are_decoded_in_order(tmp_path: Path) -> None:
    images = write_table(tmp_path / "table")
    for _ in range(2):  # the second time reads the arrays in WORK
        faces = open_faces(tmp_path / "table", tmp_path / "work", OPTIONS)
        np.testing.assert_array_equal(faces.train, images[[0, 2, 4, 6]])
        np.testing.assert_array_equal(faces.test, images[[1, 3]])  # at most `holdout`
        assert faces.test_rows["sample_id"].tolist() == ["mine/1", "mine/3"]
        np.testing.assert_allclose(faces.test_rows["AU12"], [0.1, 0.3])
        assert faces.test_rows["AU01"].isna().all()


def test_continuing_with_other_options_or_faces_is_refused(tmp_path: Path) -> None:
    write_table(tmp_path / "table")
    open_faces(tmp_path / "table", tmp_path / "work", OPTIONS)
    open_faces(tmp_path / "table", tmp_path / "work", OPTIONS.model_copy(update={"workers": 9}))
    with pytest.raises(FacsimileError, match=r"a training with detail 4\.0 was started here"):
        other = OPTIONS.model_copy(update={"detail": 1.0})
        open_faces(tmp_path / "table", tmp_path / "work", other)
    write_table(tmp_path / "other", split=["test"] * 2 + ["train"] * 5)
    with pytest.raises(FacsimileError, match="a training with faces of the table"):
        open_faces(tmp_path / "other", tmp_path / "work", OPTIONS)


def test_faces_of_the_wrong_size_are_refused(tmp_path: Path) -> None:
    write_table(tmp_path / "table")
    with pytest.raises(FacsimileError, match=r"mine/0: image size is \(8, 8\), .*image_size is 16"):
        options = TrainingOptions(unet={"image_size": 16}, holdout=2)
        open_faces(tmp_path / "table", tmp_path / "work", options)


def test_rendered_faces_get_the_aus_of_their_population(tmp_path: Path) -> None:
    options = TrainingOptions(unet={"image_size": 8}, faces=40, holdout=4)
    people = population(options.dataset, 40, options.seed)
    images = np.zeros((40, 8, 8, 3), np.uint8)
    rows = people[["sample_id", "subject_id", "split"]].assign(dataset="world-ffhq", origin="real")
    rows = rows.assign(au_presence_only=False, image=image_structs(images, rows["sample_id"]))
    write_shards([rows], tmp_path / "faces", FACE_SCHEMA)
    faces = open_faces(tmp_path / "faces", tmp_path, options)
    expected = people.set_index("sample_id").loc[faces.test_rows["sample_id"], list(AUS)]
    assert expected.notna().all(axis=None)
    np.testing.assert_array_equal(faces.test_rows[list(AUS)], expected)
