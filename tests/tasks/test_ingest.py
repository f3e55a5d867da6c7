"""Ingest at the door: a table of your own is taken, or refused in one line that says where."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from facsimile.errors import FacsimileError
from facsimile.faces.tables import FACE_SCHEMA, decode_images, encode_png, read_faces
from tasks import encode, ingest
from tasks.params import DatasetsParams, EncodeParams, IngestParams
from tasks.shared.stage import Compute
from tests.facsimile.datasets.trees import shade, write_disfa, write_disfa_plus
from tests.support.faces import face_table, noise_images

COMPUTE = Compute("cpu", batch_size=4, workers=1)


def least_table(prefix: str = "", size: int = 8) -> pd.DataFrame:
    """Four faces of two people: the columns that are required, and AU04."""
    table = face_table(
        [f"{prefix}a/0", f"{prefix}a/1", f"{prefix}b/0", f"{prefix}b/1"],
        images=noise_images(4, size),
        split=["train", "train", "test", "test"],
        AU04=np.float32([0, 0.5, 1, 0.2]),
    )
    return table[["sample_id", "subject_id", "split", "image", "AU04"]]


def write(table: pd.DataFrame, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pandas(table, preserve_index=False), path)
    return path


def take(
    tmp_path: Path, size: int = 8, on_error: str = "raise", **paths: Path | dict[str, Any]
) -> dict[str, Any]:
    """Ingest tables as datasets of these names; the first one is the AU set."""
    aus, *others = paths
    datasets = DatasetsParams(aus=aus, attributes=aus, tests=tuple(others))
    section = IngestParams(seed=0, size=size, paths=paths, on_error=on_error)
    return ingest.run(tmp_path / "out", COMPUTE, datasets, section)


def test_own_table_is_completed_to_the_schema(tmp_path: Path) -> None:
    path = write(least_table(size=16), tmp_path / "mine.parquet")
    metrics = take(tmp_path, mine=path)
    rows = read_faces(tmp_path / "out" / "mine")
    assert list(rows.columns) == FACE_SCHEMA.names
    assert set(rows["dataset"]) == {"mine"} and set(rows["origin"]) == {"real"}
    assert rows["AU12"].isna().all() and not rows["au_presence_only"].any()
    assert decode_images(rows).shape == (4, 8, 8, 3)
    assert metrics["faces"] == 4 and metrics["subjects"] == 2
    assert metrics["mine"]["by_split"] == {"train": 2, "test": 2}
    assert metrics["mine"]["active"] == {"AU04": 3}


def test_images_of_the_right_size_are_kept_bit_by_bit(tmp_path: Path) -> None:
    table = least_table()
    take(tmp_path, mine=write(table, tmp_path / "mine.parquet"))
    rows = read_faces(tmp_path / "out" / "mine")
    np.testing.assert_array_equal(decode_images(rows), decode_images(table))


def test_folder_of_shards(tmp_path: Path) -> None:
    for shard in (0, 1):
        rows = least_table().iloc[2 * shard : 2 * shard + 2]
        write(rows, tmp_path / "mine" / f"part-{shard:05d}.parquet")
    assert take(tmp_path, mine=tmp_path / "mine")["faces"] == 4


def broken(column: str, row: int, value: Any) -> pd.DataFrame:
    table = least_table()
    table[column] = table[column].astype(object)
    table.at[row, column] = value
    return table


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (broken("AU04", 2, 1.5), "mine.parquet: row 2 (b/0) column AU04: 1.5 outside [0, 1]"),
        (
            broken("sample_id", 3, "a/0"),
            "mine.parquet: row 3 column sample_id: a/0 duplicate",
        ),
        (
            broken("split", 1, "val"),
            "mine.parquet: row 1 (a/1) column subject_id: a is in splits train and val",
        ),
        (broken("split", 1, "holdout"), "column split: holdout not one of train, val, test"),
        (least_table().drop(columns="split"), "mine.parquet: missing column split"),
        (
            broken("image", 2, {"bytes": least_table()["image"][2]["bytes"][:90], "path": None}),
            "mine.parquet: row 2 (b/0) column image: image is unreadable",
        ),
        (
            broken("image", 1, {"bytes": encode_png(np.zeros((4, 6, 3), np.uint8)), "path": None}),
            "row 1 (a/1) column image: image is 6 × 4, but aligned faces are square",
        ),
        (broken("image", 0, None), "mine.parquet: row 0 (a/0) column image: image is empty"),
    ],
)
def test_what_is_wrong_is_located(tmp_path: Path, table: pd.DataFrame, message: str) -> None:
    path = write(table, tmp_path / "mine.parquet")
    with pytest.raises(FacsimileError) as caught:
        take(tmp_path, mine=path)
    assert message in str(caught.value)


def test_rows_are_counted_in_their_own_file(tmp_path: Path) -> None:
    write(least_table(), tmp_path / "mine" / "part-00000.parquet")
    bad = least_table("x")
    bad.loc[1, "AU04"] = -1
    write(bad, tmp_path / "mine" / "part-00001.parquet")
    with pytest.raises(FacsimileError, match=r"part-00001\.parquet: row 1 \(xa/1\) column AU04"):
        take(tmp_path, mine=tmp_path / "mine")


def test_duplicates_and_leaks_across_shards_and_datasets(tmp_path: Path) -> None:
    write(least_table(), tmp_path / "twice" / "part-00000.parquet")
    write(least_table(), tmp_path / "twice" / "part-00001.parquet")
    with pytest.raises(
        FacsimileError, match=r"part-00001\.parquet: row 0 column sample_id: a/0 dup"
    ):
        take(tmp_path, mine=tmp_path / "twice")

    same_people = least_table().assign(sample_id=["c0", "c1", "c2", "c3"], split="test")
    one = write(least_table(), tmp_path / "one.parquet")
    other = write(same_people, tmp_path / "other.parquet")
    with pytest.raises(FacsimileError, match="column subject_id: a is in splits test and train"):
        take(tmp_path, one=one, other=other)


def tree(folder: Path) -> Path:
    """A CSV of four people, one image each, whose second image is empty."""
    folder.mkdir()
    for person in range(4):
        image = shade(6 + person)
        (folder / f"{person}.png").write_bytes(b"" if person == 1 else encode_png(image))
    lines = [f"{person}.png,p{person},{person / 4}" for person in range(4)]
    path = folder / "faces.csv"
    path.write_text("\n".join(["image_path,subject_id,AU04", *lines]))
    return path


def test_rejects_are_counted_reported_and_kept(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tree(tmp_path / "mine")
    with pytest.raises(FacsimileError, match=r"faces\.csv: line 3 \(mine/1\) column image_path"):
        take(tmp_path, mine=path)

    metrics = take(tmp_path, on_error="skip", mine=path)
    assert "ingest mine: 1 rejects, see data/ingest/mine/rejects.parquet" in capsys.readouterr().err
    assert metrics["faces"] == 3 and metrics["rejects"] == metrics["mine"]["rejects"] == 1
    (row,) = pq.read_table(tmp_path / "out" / "mine" / "rejects.parquet").to_pylist()
    assert row == {
        "file": str(path),
        "line": 3,
        "column": "image_path",
        "value": "1.png",
        "reason": "is empty",
    }
    # The table of rejects is no shard of the faces beside it.
    assert read_faces(tmp_path / "out" / "mine")["sample_id"].tolist() == [
        "mine/0",
        "mine/2",
        "mine/3",
    ]


def test_pictures_of_one_colour_are_counted_and_reported(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = write_disfa(tmp_path / "disfa")
    for name in ("SN001/2.png", "SN003/1.png"):
        (root / "Images" / name).write_bytes(encode_png(np.zeros((8, 8, 3), np.uint8)))
    metrics = take(tmp_path, mine=root)
    assert "ingest mine: 2 rejects, see data/ingest/mine/rejects.parquet" in capsys.readouterr().err
    assert metrics["faces"] == 10 and metrics["rejects"] == metrics["mine"]["rejects"] == 2
    rows = pq.read_table(tmp_path / "out" / "mine" / "rejects.parquet").to_pylist()
    assert [row["value"] for row in rows] == [
        str(root / "Images" / name) for name in ("SN001/2.png", "SN003/1.png")
    ]


def test_an_ambiguous_first_frame_is_reported(tmp_path: Path) -> None:
    root = write_disfa(tmp_path / "disfa")
    for person in ("SN001", "SN002", "SN003"):
        (root / "Images" / person / "4.png").unlink()
    with pytest.raises(
        FacsimileError, match=r"SN001: has 3 frames \(1 to 3\) .*ingest\.paths\.mine"
    ):
        take(tmp_path, mine=root)
    said = {"root": root, "first_frame": 1}
    assert take(tmp_path, on_error="skip", mine=said)["faces"] == 9
    path = write(least_table(), tmp_path / "mine.parquet")
    with pytest.raises(
        FacsimileError, match=r"mine\.parquet: this file layout has no option first_frame"
    ):
        take(tmp_path, mine={"root": path, "first_frame": 1})


def test_a_pipe_is_no_dataset(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "faces.csv")
    with pytest.raises(FacsimileError, match=r"faces\.csv is neither a file nor a folder"):
        take(tmp_path, mine=tmp_path / "faces.csv")


def test_rejects_of_a_face_table(tmp_path: Path) -> None:
    table = broken("image", 1, None)
    table["AU04"] = [0, 0.5, 7, 0.2]
    path = write(table, tmp_path / "mine.parquet")
    metrics = take(tmp_path, on_error="skip", mine=path)
    assert read_faces(tmp_path / "out" / "mine")["sample_id"].tolist() == ["a/0", "b/1"]
    rows = pq.read_table(tmp_path / "out" / "mine" / "rejects.parquet").to_pylist()
    assert [(row["line"], row["column"], row["value"]) for row in rows] == [
        (2, "AU04", "7.0"),
        (1, "image", "image"),
    ]
    assert metrics["rejects"] == 2


def test_faces_that_are_not_aligned(tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (4, 30, 50, 3), np.uint8)
    structs = [{"bytes": encode_png(image), "path": None} for image in images]
    points = {"left_eye": (20, 10), "right_eye": (28, 10)}
    points |= {"mouth_left": (21, 19), "mouth_right": (27, 19)}
    columns = {
        f"{name}_{axis}": point[k] for name, point in points.items() for k, axis in enumerate("xy")
    }
    table = least_table().assign(image=structs, **columns)
    table["left_eye_x"] = [20, np.nan, 20, 20]
    paths = {"mine": write(table, tmp_path / "mine.parquet")}

    def take_aligned(align: dict[str, str], on_error: str) -> dict[str, Any]:
        section = IngestParams(seed=0, size=8, paths=paths, align=align, on_error=on_error)
        datasets = DatasetsParams(aus="mine", attributes="mine")
        return ingest.run(tmp_path / "out", COMPUTE, datasets, section)

    with pytest.raises(FacsimileError, match="image is 50 × 30, but aligned faces are square"):
        take_aligned({}, "raise")
    with pytest.raises(FacsimileError, match=r"row 1 \(a/1\) column left_eye_x: is missing"):
        take_aligned({"mine": "columns"}, "raise")
    with pytest.raises(FacsimileError, match=r"ingest\.align\.mine: landmark model no\.such:f: No"):
        take_aligned({"mine": "no.such:f"}, "raise")
    metrics = take_aligned({"mine": "columns"}, "skip")
    assert metrics["faces"] == 3 and metrics["rejects"] == 1
    assert decode_images(read_faces(tmp_path / "out" / "mine")).shape == (3, 8, 8, 3)


def test_adapter_is_recognised_or_declared(tmp_path: Path) -> None:
    path = tree(tmp_path / "mine")
    declared = {"adapter": "table", "root": path}
    assert take(tmp_path, on_error="skip", mine=declared)["faces"] == 3
    with pytest.raises(FacsimileError, match=r"ActionUnit_Labels: no such folder"):
        take(tmp_path, mine={"adapter": "disfa", "root": tmp_path})
    with pytest.raises(FacsimileError, match=r"none of the layouts .* name one of its"):
        take(tmp_path, mine=path.parent)
    with pytest.raises(FacsimileError, match=r"0\.png: is a picture; for pictures, name a table"):
        take(tmp_path, mine=path.parent / "0.png")


def test_a_table_without_aus_is_no_au_set(tmp_path: Path) -> None:
    path = write(least_table().drop(columns="AU04"), tmp_path / "mine.parquet")
    blank = write(least_table().assign(AU04=np.nan), tmp_path / "blank.parquet")
    for aus in (path, blank):
        with pytest.raises(FacsimileError) as caught:
            take(tmp_path, mine=aus)
        assert str(caught.value).startswith(f"{aus}: no face is annotated for an Action Unit, as")
        assert "columns AU01, AU02, AU04" in str(caught.value)
    annotated = write(least_table("x"), tmp_path / "annotated.parquet")
    assert take(tmp_path, mine=annotated, other=path)["faces"] == 8


def test_scale_is_declared(tmp_path: Path) -> None:
    path = write(least_table().assign(AU04=[0, 2, 5, 1]), tmp_path / "mine.parquet")
    for on_error in ("raise", "skip"):
        with pytest.raises(FacsimileError, match=r"set `scale: 0-5` under ingest\.paths\.mine"):
            take(tmp_path, on_error=on_error, mine=path)
    take(tmp_path, mine={"root": path, "scale": "0-5"})
    rows = read_faces(tmp_path / "out" / "mine")
    np.testing.assert_allclose(rows["AU04"], [0, 0.4, 1, 0.2], rtol=1e-6)


def test_images_by_path_are_read_again_once_they_change(tmp_path: Path) -> None:
    images = decode_images(least_table())
    for n, image in enumerate(images):
        (tmp_path / f"{n}.png").write_bytes(encode_png(image))
    structs = [{"bytes": None, "path": f"{n}.png"} for n in range(4)]
    good = write(least_table().assign(image=structs), tmp_path / "good.parquet")
    bad = write(broken("AU04", 2, 7.0), tmp_path / "bad.parquet")
    with pytest.raises(FacsimileError, match=r"7\.0 outside"):
        take(tmp_path, good=good, bad=bad)
    (tmp_path / "0.png").write_bytes(encode_png(255 - images[0]))
    write(least_table("x"), bad)
    take(tmp_path, good=good, bad=bad)
    found = decode_images(read_faces(tmp_path / "out" / "good"))
    np.testing.assert_array_equal(found, [255 - images[0], *images[1:]])


def test_absent_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(FacsimileError, match=r"ingest\.paths\.mine: .*nothing does not exist"):
        take(tmp_path, mine=tmp_path / "nothing")


def test_no_neutral_face_to_edit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    table = least_table().reindex(columns=FACE_SCHEMA.names)
    table["AU04"] = np.float32(1)
    write(table, tmp_path / "data" / "ingest" / "mine" / "part-00000.parquet")
    with pytest.raises(FacsimileError, match="there is nothing to edit"):
        encode.neutral_ids("mine", EncodeParams(neutral_per_subject={"train": 1}))


def test_finished_parts_stay_until_all_are_finished(tmp_path: Path) -> None:
    write_disfa(tmp_path / "disfa", subjects=4)
    bad = write(broken("AU04", 2, 7.0), tmp_path / "bad.parquet")
    with pytest.raises(FacsimileError, match=r"7\.0 outside"):
        take(tmp_path, mine=tmp_path / "disfa", bad=bad)
    (part,) = (tmp_path / ".ingest.work" / "mine").glob("*.parquet")
    made = part.stat().st_ino

    write(least_table(), bad)
    metrics = take(tmp_path, mine=tmp_path / "disfa", bad=bad)
    assert metrics["faces"] == 20
    assert (tmp_path / "out" / "mine" / "part-00000.parquet").stat().st_ino == made
    assert not (tmp_path / ".ingest.work").exists()


def test_people_in_two_datasets_are_in_one_split(tmp_path: Path) -> None:
    disfa = write_disfa(tmp_path / "disfa", subjects=9)
    plus = write_disfa_plus(tmp_path / "plus", subjects=4, frames=2)
    take(tmp_path, disfa=disfa, plus=plus)
    of = {
        name: dict(read_faces(tmp_path / "out" / name)[["subject_id", "split"]].to_numpy())
        for name in ("disfa", "plus")
    }
    assert of["plus"] == {name: of["disfa"][name] for name in of["plus"]}


def test_folds(tmp_path: Path) -> None:
    root = write_disfa(tmp_path / "disfa", subjects=6, frames=1)
    datasets = DatasetsParams(aus="mine", attributes="mine")
    tested: list[str] = []
    for index in range(3):
        section = IngestParams(
            seed=0, size=8, paths={"mine": root}, fold={"count": 3, "index": index}
        )
        metrics = ingest.run(tmp_path / "out", COMPUTE, datasets, section)
        assert metrics["mine"]["by_split"] == {"train": 3, "test": 2, "val": 1}
        rows = read_faces(tmp_path / "out" / "mine")
        tested += rows.loc[rows["split"] == "test", "subject_id"].tolist()
    assert sorted(tested) == [f"SN{n:03d}" for n in range(1, 7)]


def test_published_folds_apply_to_the_datasets_that_have_them(tmp_path: Path) -> None:
    paths = {
        "mine": write_disfa(tmp_path / "disfa", subjects=6, frames=1),
        "plus": write_disfa_plus(tmp_path / "plus", subjects=6, frames=1),
    }
    datasets = DatasetsParams(aus="mine", attributes="mine", tests=["plus"])
    section = IngestParams(seed=0, size=8, paths=paths, fold={"published": "jaa-net", "index": 0})
    ingest.run(tmp_path / "out", COMPUTE, datasets, section)
    rows = read_faces(tmp_path / "out" / "mine")
    assert set(rows.loc[rows["split"] == "test", "subject_id"]) == {"SN001", "SN002"}
    alone = IngestParams(seed=0, size=8, paths={"mine": paths["plus"]}, fold=section.fold)
    drawn = IngestParams(seed=0, size=8, paths={"mine": paths["plus"]})
    splits = []
    for params in (alone, drawn):
        ingest.run(tmp_path / "out", COMPUTE, datasets.model_copy(update={"tests": []}), params)
        splits.append(read_faces(tmp_path / "out" / "mine", ["sample_id", "split"]))
    pd.testing.assert_frame_equal(*splits)
