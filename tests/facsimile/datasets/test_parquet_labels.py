"""Parquet as others write it: names of shards, ways to hold images, types of columns."""

import datetime
import decimal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from facsimile.datasets import recognise
from facsimile.errors import FacsimileError
from facsimile.faces.tables import decode_images

from .trees import pixels, png, read, write_image

IDS = [f"f{n}" for n in range(6)]
PEOPLE = list("aabbcc")
SPLITS = ["train", "train", "val", "val", "test", "test"]
STRUCT = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


def six_faces(**columns: Any) -> pa.Table:
    """Six faces with images as bytes; what is given replaces columns, or removes them if None."""
    images = pa.array([{"bytes": png(pixels(n)), "path": None} for n in range(6)], STRUCT)
    usual = {"sample_id": IDS, "subject_id": PEOPLE, "split": SPLITS, "image": images}
    usual |= {"AU04": [0, 0.5, 1, 0, 0.2, 0]}
    return pa.table({name: v for name, v in (usual | columns).items() if v is not None})


def write(table: pa.Table, path: Path, **options: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path, **options)
    return path


@pytest.fixture
def expected(tmp_path: Path) -> pd.DataFrame:
    return read(write(six_faces(), tmp_path / "expected.parquet"))[0]


# Names -------------------------------------------------------------------------------------------

NAMED = {
    "hub": "{split}-00000-of-00001.parquet",
    "hub, in data": "data/{split}-00000-of-00001.parquet",
    "hub, of former times": "data/{split}-00000-of-00001-0a1b2c3d4e5f.parquet",
    "split": "{split}.parquet",
    "split, in data": "data/{split}.parquet",
    "folder of a split": "{split}/0000.parquet",
}


@pytest.mark.parametrize("case", NAMED)
def test_names_of_shards_say_the_split(tmp_path: Path, case: str, expected: pd.DataFrame) -> None:
    for start, split in ((0, "train"), (2, "validation"), (4, "test")):
        table = six_faces(split=None).slice(start, 2)
        write(table, tmp_path / "mine" / NAMED[case].format(split=split))
    assert recognise(tmp_path / "mine") == "parquet"
    found, _ = read(tmp_path / "mine")
    found = found.set_index("sample_id").loc[IDS].reset_index()[expected.columns]
    pd.testing.assert_frame_equal(found, expected)


def test_a_column_of_splits_outdoes_names(tmp_path: Path, expected: pd.DataFrame) -> None:
    write(six_faces(), tmp_path / "mine" / "data" / "train-00000-of-00001.parquet")
    write(six_faces(), tmp_path / "mine" / "other.parquet")
    pd.testing.assert_frame_equal(read(tmp_path / "mine")[0], expected)


def test_train_alone_is_no_split(tmp_path: Path) -> None:
    for shard in (0, 1):
        table = six_faces(split=None).slice(3 * shard, 3)
        write(table, tmp_path / "mine" / f"train-0000{shard}-of-00002.parquet")
    assert set(read(tmp_path / "mine")[0]["split"]) == {"train", "val", "test"}


def test_a_missing_shard_is_named(tmp_path: Path) -> None:
    write(six_faces(), tmp_path / "data" / "train-00000-of-00003.parquet")
    write(six_faces(), tmp_path / "data" / "train-00002-of-00003.parquet")
    with pytest.raises(FacsimileError) as caught:
        read(tmp_path)
    missing = f"{tmp_path}/data: shard train-00001-of-00003.parquet is missing"
    assert str(caught.value) == missing


def test_shards_of_paths(tmp_path: Path) -> None:
    for n in range(6):
        write_image(tmp_path / "data" / f"{n}.png", pixels(n))
    paths = [f"{n}.png" for n in range(6)]
    for start, split in ((0, "train"), (2, "validation"), (4, "test")):
        table = six_faces(split=None, image=None, image_path=paths).slice(start, 2)
        write(table, tmp_path / "data" / f"{split}-00000-of-00001.parquet")
    assert recognise(tmp_path) == "table"
    found = read(tmp_path)[0].set_index("sample_id").loc[IDS]
    assert found["split"].tolist() == SPLITS


# Images ------------------------------------------------------------------------------------------


def struct_of_paths(folder: Path) -> pa.Array:
    return pa.array([{"bytes": None, "path": f"img/{n}.png"} for n in range(6)], STRUCT)


def struct_of_both(folder: Path) -> pa.Array:
    """Bytes of even faces, with a name as the hub keeps it, paths of the others."""
    values = [
        {"bytes": None, "path": f"img/{n}.png"} if n % 2 else {"bytes": png(pixels(n)), "path": "x"}
        for n in range(6)
    ]
    return pa.array(values, STRUCT)


def of_bytes(kind: pa.DataType) -> Callable[[Path], pa.Array]:
    return lambda folder: pa.array([png(pixels(n)) for n in range(6)], kind)


def of_paths(folder: Path) -> pa.Array:
    return pa.array([f"img\\{n}.png" if n % 2 else str(folder / f"img/{n}.png") for n in range(6)])


IMAGES = {
    "struct of paths": struct_of_paths,
    "struct of path alone": lambda folder: pa.array([{"path": f"img/{n}.png"} for n in range(6)]),
    "struct of bytes alone": lambda folder: pa.array([{"bytes": png(pixels(n))} for n in range(6)]),
    "bytes or paths": struct_of_both,
    "binary": of_bytes(pa.binary()),
    "large binary": of_bytes(pa.large_binary()),
    "paths": of_paths,
}


@pytest.mark.parametrize("statistics", [True, False])
@pytest.mark.parametrize("case", IMAGES)
def test_ways_to_hold_images(
    tmp_path: Path, case: str, statistics: bool, expected: pd.DataFrame
) -> None:
    for n in range(6):
        write_image(tmp_path / "img" / f"{n}.png", pixels(n))
    table = six_faces(image=IMAGES[case](tmp_path))
    options = {"row_group_size": 2, "write_statistics": statistics}
    path = write(table, tmp_path / "faces.parquet", **options)
    found, rejects = read(path)
    np.testing.assert_array_equal(decode_images(found), decode_images(expected))
    assert found["sample_id"].tolist() == IDS and len(rejects) == 0


def test_images_that_are_not_there(tmp_path: Path) -> None:
    for n in range(5):
        write_image(tmp_path / "img" / f"{n}.png", pixels(n))
    path = write(six_faces(image=struct_of_paths(tmp_path)), tmp_path / "faces.parquet")
    with pytest.raises(FacsimileError) as caught:
        read(path)
    assert str(caught.value) == f"{path}: row 5 (f5) column image: img/5.png is not a file"
    found, rejects = read(path, "skip")
    assert len(found) == 5 and len(rejects) == 1
    address = ["https://x.org/a.png"] * 6
    path = write(six_faces(image=address), tmp_path / "faces.parquet")
    with pytest.raises(
        FacsimileError, match=r"row 0 .* is not a file; it is a URL: download the file"
    ):
        read(path)


# Types -------------------------------------------------------------------------------------------

NUMBERS = pa.array([0, 1, 0, 1, 0, 1])
TYPES: dict[str, dict[str, Any]] = {
    "int8": {"AU04": NUMBERS.cast("int8")},
    "uint64": {"AU04": NUMBERS.cast("uint64")},
    "float16": {"AU04": NUMBERS.cast("float16")},
    "bool": {"AU04": NUMBERS.cast("bool")},
    "decimal": {"AU04": pa.array([decimal.Decimal(n % 2) for n in range(6)])},
    "text": {"AU04": pa.array(["0", "1,0", "0.0", "1", " 0", "1"])},
    "categories": {"AU04": NUMBERS.cast("string").dictionary_encode()},
    "ids as numbers": {"subject_id": pa.array([1, 1, 2, 2, 3, 3])},
    "names as categories": {"subject_id": pa.array(PEOPLE).dictionary_encode()},
    "names as bytes": {"subject_id": pa.array([name.encode() for name in PEOPLE], pa.binary())},
    "long text": {"subject_id": pa.array(PEOPLE, pa.large_string())},
    "nothing at all": {"AU12": pa.nulls(6), "age": pa.nulls(6)},
    "flags as numbers": {"au_presence_only": NUMBERS.cast("int8")},
}


@pytest.mark.parametrize("case", TYPES)
@pytest.mark.filterwarnings("ignore:.*all AUs are 0 or 1:UserWarning")
def test_types_of_columns(tmp_path: Path, case: str) -> None:
    columns = {"AU04": NUMBERS} | TYPES[case]
    found, _ = read(write(six_faces(**columns), tmp_path / "faces.parquet"))
    assert found["AU04"].tolist() == [0, 1, 0, 1, 0, 1]
    people = ["1", "1", "2", "2", "3", "3"] if case == "ids as numbers" else PEOPLE
    assert found["subject_id"].tolist() == people


def test_classes_of_the_hub(tmp_path: Path) -> None:
    splits = [split.replace("val", "validation") for split in SPLITS]
    classes = datasets.ClassLabel(names=["train", "test", "validation"])
    loaded = datasets.Dataset(six_faces(split=splits)).cast_column("split", classes)
    loaded.to_parquet(tmp_path / "faces.parquet")
    assert pq.read_schema(tmp_path / "faces.parquet").field("split").type == pa.int64()
    assert read(tmp_path / "faces.parquet")[0]["split"].tolist() == SPLITS


DAY = datetime.datetime(2020, 1, 1)
WRONG = {
    "AU as list": ({"AU04": [[0.5]] * 6}, "column AU04 holds list<.*: double>, expected numbers"),
    "AU as time": ({"AU04": [DAY] * 6}, "column AU04 holds timestamp.us., expected numbers"),
    "AU as struct": ({"AU04": [{"value": 1}] * 6}, "column AU04 holds struct.*, expected numbers"),
    "person as time": (
        {"subject_id": [DAY] * 6},
        "column subject_id holds timestamp.*, expected text",
    ),
    "person as fraction": (
        {"subject_id": [0.5] * 6},
        "column subject_id holds double, expected text",
    ),
    "person as bytes": (
        {"subject_id": [b"\xff\xfe"] * 6},
        "column subject_id holds binary, expected U",
    ),
    "flag as list": ({"au_presence_only": [[True]] * 6}, "column au_presence_only holds list.*, e"),
    "image as list": (
        {"image": [[1, 2]] * 6},
        "column image holds list.*, expected a struct of bytes",
    ),
    "image as numbers": (
        {"image": [1] * 6},
        "column image holds int64, expected a struct of bytes and",
    ),
    "huge number": (
        {"AU04": pa.array([0, 2**63 - 1, 0, 0, 0, 0])},
        r"row 1 column AU04: 9\.22337e\+18 does not fit the scale 0-1",
    ),
    "no person": ({"subject_id": pa.nulls(6)}, "row 0 .*column subject_id: is missing"),
    "time beyond nanoseconds": (
        {"AU12": pa.array([2**62] * 6, pa.int64()).cast(pa.timestamp("us"))},
        "column AU12 holds timestamp",
    ),
    "another name": ({"AU04": None, "AU4": [0.5] * 6}, "column AU4 must be renamed AU04"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_types_are_one_line(tmp_path: Path, case: str) -> None:
    columns, message = WRONG[case]
    path = write(six_faces(**columns), tmp_path / "faces.parquet")
    with pytest.raises(FacsimileError, match=message) as caught:
        read(path, "raise")
    assert str(caught.value).startswith(f"{path}: ") and "\n" not in str(caught.value)


@pytest.mark.parametrize("part", ["footer", "pages", "all", "magic"])
def test_damaged_files_are_one_line(tmp_path: Path, part: str) -> None:
    path = write(six_faces(), tmp_path / "faces.parquet", compression="gzip")
    content = bytearray(path.read_bytes())
    if part == "pages":
        content[4:200] = b"\xff" * 196
    path.write_bytes(
        {"footer": content[:-20], "all": b"", "magic": b"PK" + content}.get(part, content)
    )
    with pytest.raises(FacsimileError, match="not a readable Parquet file") as caught:
        read(path)
    assert str(caught.value).startswith(f"{path}: ") and "\n" not in str(caught.value)


def test_text_that_is_no_unicode(tmp_path: Path) -> None:
    bad = pa.array([b"\xff\xfe"] * 6, pa.binary()).view(pa.string())
    path = write(six_faces(subject_id=bad), tmp_path / "faces.parquet")
    with pytest.raises(
        FacsimileError, match=r"column subject_id holds string, expected UTF-8 text"
    ):
        read(path)


def test_foreign_text_stays_on_one_line(tmp_path: Path) -> None:
    text = ["0", "x\ny\x1b[31m" + "z" * 1000, "0.5", "0", "0", "0"]
    path = write(six_faces(AU04=text), tmp_path / "faces.parquet")
    with pytest.raises(FacsimileError, match=r"AU04: x\\ny\\x1b\[31mzzz") as caught:
        read(path)
    assert len(str(caught.value)) < len(str(path)) + 300


# Generated faces ---------------------------------------------------------------------------------


def test_generated_faces_stay_marked(tmp_path: Path) -> None:
    origins = ["edited", "synthetic", "edited", "real", "transferred", None]
    table = six_faces(
        origin=origins, source_id=IDS, seed=pa.array([2**60 + 1, 1, 1, None, 1, None])
    )
    table = table.append_column("edited_au", pa.array(["AU04", *[None] * 5]))
    path = write(table, tmp_path / "faces.parquet")
    with pytest.warns(UserWarning, match="2 edited and 1 .* faces are generated and stay marked"):
        found, _ = read(path)
    assert found["origin"].tolist() == [origin or "real" for origin in origins]
    assert found["source_id"].tolist() == IDS
    assert found["seed"].astype(object)[1] == 1


def test_origins_of_others(tmp_path: Path) -> None:
    path = write(six_faces(origin=["left"] * 6, intensity=[7.0] * 6), tmp_path / "faces.parquet")
    with pytest.warns(UserWarning, match="column origin ignored: left is not one of real, edited"):
        found, _ = read(path)
    assert set(found["origin"]) == {"real"} and found["intensity"].isna().all()
