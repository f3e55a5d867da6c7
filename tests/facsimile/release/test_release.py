"""A release opens in the tools that it is made for, and says what it is."""

import hashlib
import io
import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import datasets
import mlcroissant
import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image

from facsimile.datasets import ADAPTERS, Rejects, recognise
from facsimile.errors import FacsimileError
from facsimile.faces.aus import AUS
from facsimile.faces.tables import GENERATED_SCHEMA, decode_images, read_table, write_shards
from facsimile.release import (
    DIGITAL_SOURCE_TYPE,
    Release,
    find_licence,
    write_release,
)
from facsimile.release.card_pictures import choose_faces, demographic_counts
from facsimile.release.columns import RELEASE_SCHEMA, describe_columns
from facsimile.report import Evidence
from tests.support.xmp import read_packet

from .conftest import edits_of


@pytest.fixture(scope="module")
def rows(folder: Path) -> pd.DataFrame:
    """All released rows by sample_id."""
    tables = [read_table(path) for path in sorted((folder / "data").iterdir())]
    return pd.concat(tables).set_index("sample_id", drop=False)


def test_datasets_opens_images_labels_and_splits(
    folder: Path, faces: pd.DataFrame, tmp_path: Path
) -> None:
    loaded = datasets.load_dataset(str(folder), cache_dir=str(tmp_path))
    assert {name: len(split) for name, split in loaded.items()} == {"train": 20, "val": 20}
    features = loaded["train"].features
    assert isinstance(features["image"], datasets.Image)
    assert features["origin"].names == ["edited", "transferred", "synthetic", "described"]
    assert features["edited_au"].names == list(AUS)
    assert list(features) == RELEASE_SCHEMA.names
    expected = faces.set_index("sample_id")
    for row in loaded["train"]:
        face = expected.loc[row["sample_id"]]
        assert np.array_equal(
            np.asarray(row["image"]),
            decode_images(pd.DataFrame([{"sample_id": "", "image": face["image"]}]))[0],
        )
        labels = [np.nan if row[au] is None else row[au] for au in AUS]
        np.testing.assert_array_equal(labels, face[list(AUS)].to_numpy(np.float32))
        assert features["origin"].int2str(row["origin"]) == face["origin"]
        au = None if pd.isna(face["edited_au"]) else AUS.index(face["edited_au"])
        assert row["edited_au"] == au


def test_croissant_is_valid_and_gives_the_faces(
    folder: Path, faces: pd.DataFrame, caplog: pytest.LogCaptureFixture
) -> None:
    croissant = mlcroissant.Dataset(jsonld=str(folder / "croissant.json"))
    assert not croissant.metadata.ctx.issues.errors
    # The publisher adds the date of publication.
    assert all("datePublished" in issue for issue in croissant.metadata.ctx.issues.warnings)
    assert croissant.metadata.version == "2026.1.5+2"
    records = list(croissant.records("faces"))
    assert {record["faces/sample_id"].decode() for record in records} == set(faces["sample_id"])
    assert records[0]["faces/image"].size == (16, 16)
    assert (
        set(describe_columns())
        == set(RELEASE_SCHEMA.names)
        == {name.removeprefix("faces/") for name in records[0]}
    )


def test_croissant_names_the_shards_by_their_content(folder: Path) -> None:
    content = json.loads((folder / "croissant.json").read_text())
    listed = {
        entry["contentUrl"]: entry["sha256"]
        for entry in content["distribution"]
        if entry["@type"] == "cr:FileObject"
    }
    assert listed == {
        f"data/{path.name}": hashlib.sha256(path.read_bytes()).hexdigest()
        for path in (folder / "data").iterdir()
    }
    assert content["license"] == "https://creativecommons.org/licenses/by-nc/4.0/"


def test_shards_are_bounded_and_numbered(folder: Path) -> None:
    names = sorted(path.name for path in (folder / "data").iterdir())
    trains = [name for name in names if name.startswith("train")]
    assert len(trains) > 1
    count = len(trains)
    assert trains == [f"train-{n:05d}-of-{count:05d}.parquet" for n in range(count)]


def test_every_image_is_marked_with_its_lineage(rows: pd.DataFrame, faces: pd.DataFrame) -> None:
    assert len(rows) == len(faces)
    for sample_id, row in rows.iterrows():
        mark = read_packet(row["image"]["bytes"])
        assert mark["Iptc4xmpExt:DigitalSourceType"] == DIGITAL_SOURCE_TYPE
        assert mark["dc:identifier"] == mark["facsimile:SampleID"] == sample_id
        assert mark["facsimile:SourceID"] == row["source_id"]
        assert mark["facsimile:Seed"] == "3"
        assert mark["facsimile:GeneratorMD5"] == "e" * 32
        edited = row["origin"] == "edited"
        assert mark.get("facsimile:CodeRevision") == ("c0ffee" if edited else None)
        assert mark.get("facsimile:MadeOf") == (["data/editor 0a.dir"] if edited else None)
    mixed = read_packet(rows.loc["disfa/S1/5/mixed", "image"]["bytes"])
    assert mixed["facsimile:Edit"] == ["AU01 0.5", "AU04 1.0"]
    assert "facsimile:EditedAU" not in mixed
    dropping = rows[rows["edited_au"] == "AU26"].iloc[0]
    assert read_packet(dropping["image"]["bytes"])["facsimile:NotLabelled"] == ["AU25"]
    unplanned = read_packet(rows.loc[faces["sample_id"].iloc[0], "image"]["bytes"])
    assert "facsimile:Edit" not in unplanned


def test_pictures_of_faces_are_marked_too(folder: Path) -> None:
    mark = read_packet((folder / "figures" / "faces.png").read_bytes())
    assert mark["Iptc4xmpExt:DigitalSourceType"] == DIGITAL_SOURCE_TYPE


def test_latent_codes_are_not_released(rows: pd.DataFrame) -> None:
    assert "z" not in rows.columns


def test_the_card_reports_contents_terms_and_measurements(folder: Path) -> None:
    text = (folder / "README.md").read_text()
    _, front, body = text.split("---\n", 2)
    values = yaml.safe_load(front)
    assert values["license"] == "cc-by-nc-4.0"
    assert "those of version `dataset/2026.01.05.2`, git commit `decade`" in body
    assert "synthetic" in values["tags"]
    assert values["configs"][0]["data_files"] == [
        {"split": split, "path": f"data/{split}-*.parquet"} for split in ("train", "val")
    ]
    assert "small faces" in values["extra_gated_prompt"]
    for heading in (
        "Contents",
        "How it was made",
        "What the labels mean",
        "Distribution",
        "Measured limits",
        "Intended use",
        "Prohibited use",
        "Synthetic, and marked as such",
        "Sources and licences",
        "Provenance",
    ):
        assert f"\n## {heading}\n" in body
    assert "**Every face here is synthetic.**" in body
    assert "but\n> edited and transferred faces resemble the people in their sources" in body
    assert "University of Denver" in body and "states that publishing faces" in body
    assert "| real+generated | 0." in body
    assert "raises the edited AU by 0.91" in body
    assert "**Changed since `edit` ran:** edit.seed modified" in body
    assert not re.search(r"\b(None|nan)\b", body)
    for picture in re.findall(r"\]\((figures/.*?)\)", body):
        assert (folder / picture).exists()
    assert {path.stem for path in (folder / "figures").iterdir()} == {
        "faces",
        "au_counts",
        "demographics",
        "f1_per_au",
        "edit_effects",
    }


def test_tables_of_the_card_are_regular(folder: Path) -> None:
    for block in re.findall(r"(?:^\|.*\n)+", (folder / "README.md").read_text(), re.MULTILINE):
        assert len({line.count("|") for line in block.splitlines()}) == 1, block


def test_the_card_reports_missing_measurements(
    release: Release, table: Path, faces: pd.DataFrame, tmp_path: Path
) -> None:
    bare = replace(release, evidence=Evidence({}), stages=(), stale={})
    out = tmp_path / "faces"
    count = write_release(out, table, bare, origins=("synthetic",), edits=edits_of(faces))
    assert count == 20
    text = (out / "README.md").read_text()
    assert "Nothing was measured on exactly these faces" in text
    assert "were not run through DVC" in text
    assert "**Edited**" not in text and "resemble the people" not in text
    rows = read_table(out / "data" / "val-00000-of-00001.parquet")
    assert set(rows["origin"]) == {"synthetic"}


def test_transferred_faces_are_counted_separately(
    write: Callable[..., Path], faces: pd.DataFrame, tmp_path: Path
) -> None:
    moved = faces.assign(origin=faces["origin"].replace("edited", "transferred"))
    path = tmp_path / "moved"
    write_shards([moved], path, GENERATED_SCHEMA)
    folder = write(tmp_path / "release", faces=path)
    text = (folder / "README.md").read_text()
    assert "20 synthetic and 20 transferred faces" in text
    assert "**Transferred** faces: an annotated expression of disfa" in text
    assert "**Edited**" not in text and "resemble the people in their sources" in text
    packets = [
        read_packet(image["bytes"])
        for shard in sorted((folder / "data").iterdir())
        for image in read_table(shard).query("origin == 'transferred'")["image"]
    ]
    # Not those of the stage `edit`, which made none of them.
    assert len(packets) == 20 and not any("facsimile:MadeOf" in packet for packet in packets)


def test_the_same_faces_give_the_same_bytes(
    folder: Path, write: Callable[..., Path], tmp_path: Path
) -> None:
    again = write(tmp_path / "faces", shard_bytes=9000)
    files = [path.relative_to(folder) for path in sorted(folder.rglob("*")) if path.is_file()]
    assert files == [p.relative_to(again) for p in sorted(again.rglob("*")) if p.is_file()]
    for file in files:
        assert (folder / file).read_bytes() == (again / file).read_bytes(), file


def test_only_a_release_is_overwritten(write: Callable[..., Path], tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / "letter").write_text("dear")
    with pytest.raises(FacsimileError, match="already exists"):
        write(home)
    with pytest.raises(FacsimileError, match="is not a release"):
        write(home, overwrite=True)
    assert [path.name for path in home.iterdir()] == ["letter"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"origin": "real"}, r"row 7 \(disfa/S1/7/AU15\): column origin: real faces are not"),
        ({"image": {"bytes": b"\x89PNG", "path": None}}, "disfa/S1/7/AU15: image is unreadable"),
        ({"AU04": 1.5}, r"row 7 \(disfa/S1/7/AU15\) column AU04: 1.5 outside"),
    ],
)
def test_a_bad_face_ends_it_and_leaves_nothing(
    faces: pd.DataFrame,
    write: Callable[..., Path],
    tmp_path: Path,
    change: dict[str, object],
    message: str,
) -> None:
    bad = faces.copy()
    for column, value in change.items():
        bad.at[7, column] = value
    write_shards([bad], tmp_path / "table", GENERATED_SCHEMA)
    with pytest.raises(FacsimileError, match=message):
        write(tmp_path / "out" / "faces", faces=tmp_path / "table")
    assert not list(tmp_path.glob("out/*"))


def test_a_jpeg_is_refused(faces: pd.DataFrame, write: Callable[..., Path], tmp_path: Path) -> None:
    buffer = io.BytesIO()
    Image.fromarray(decode_images(faces)[0]).save(buffer, "JPEG")
    bad = faces.copy()
    bad.at[7, "image"] = {"bytes": buffer.getvalue(), "path": None}
    write_shards([bad], tmp_path / "table", GENERATED_SCHEMA)
    with pytest.raises(FacsimileError, match="disfa/S1/7/AU15: image is not a PNG"):
        write(tmp_path / "faces", faces=tmp_path / "table")


def test_the_contact_sheet_shows_different_people(faces: pd.DataFrame) -> None:
    chosen = choose_faces(faces).merge(faces, on="sample_id")
    assert list(chosen["row"].unique()) == [*AUS, "mixed"]
    mixed = chosen[chosen["row"] == "mixed"]
    assert list(mixed["column"])[:2] == ["edited 1", "edited 2"]
    assert mixed["subject_id"].nunique() == 4


def test_demographics_are_counted_where_annotated(faces: pd.DataFrame) -> None:
    counts = demographic_counts(faces).set_index(["origin", "cell"])
    assert counts.loc[("edited", "not annotated"), "faces"] == 20
    assert counts.loc[("synthetic", "female middle")].to_list() == [10, 1]
    assert counts.loc[("synthetic", "male middle")].to_list() == [10, 1]


def test_a_release_is_read_again_as_what_it_is(
    folder: Path, faces: pd.DataFrame, tmp_path: Path
) -> None:
    """From the hub's folder, and from what `datasets` makes of it, where texts are classes."""
    loaded = datasets.load_dataset(str(folder), cache_dir=str(tmp_path / "cache"))
    for split, rows in loaded.items():
        rows.to_parquet(tmp_path / "saved" / f"{split}.parquet")
    expected = faces.set_index("sample_id").sort_index()
    for path in (folder, tmp_path / "saved"):
        assert recognise(path) == "parquet"
        with pytest.warns(UserWarning, match="20 edited and 20 synthetic faces are generated"):
            found = ADAPTERS["parquet"].open(path, "mine", 0, Rejects())
        found = found.set_index("sample_id").sort_index()
        for name in ("subject_id", "split", "origin", "source_id", "generator_md5"):
            assert found[name].tolist() == expected[name].tolist()
        assert found["edited_au"].fillna("").tolist() == expected["edited_au"].fillna("").tolist()
        assert found["seed"].tolist() == expected["seed"].tolist()
        np.testing.assert_allclose(found[list(AUS)], expected[list(AUS)], rtol=1e-6)


def test_a_licence_is_known_or_an_address() -> None:
    assert find_licence("cc0-1.0").url.startswith("https://creativecommons.org/publicdomain")
    assert find_licence("https://example.org/licence").identifier == "other"
    with pytest.raises(FacsimileError, match="no licence 'mine'; give one of cc0"):
        find_licence("mine")
