"""The page to look through samples: what is on it, and that its filters work in a browser."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest

from facsimile.datasets import REJECT_SCHEMA, Rejects
from facsimile.errors import FacsimileError
from facsimile.faces.aus import AUS
from facsimile.faces.schema import Violation
from facsimile.faces.tables import FACE_SCHEMA, write_shards
from facsimile.inspection import write_inspection
from flows.outputs import inspectable
from tests.support.faces import decide, face_table

CHROMIUM = shutil.which("chromium")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run: six real faces, three edits of the first, of which two are rejected, two synthetic."""
    root = tmp_path_factory.mktemp("run")
    data = root / "data"
    real = face_table([f"SN{n}/0" for n in range(6)], AU12=[0, 0.2, 0, 1, 0, 0], male=1.0, age=0.1)
    write_shards([real], data / "ingest" / "mine", FACE_SCHEMA)
    edits = face_table(
        [f"SN0/0/edit/{au}" for au in ("AU04", "AU05", "AU12")],
        origin="edited",
        source_id="SN0/0",
        edited_au=["AU04", "AU05", "AU12"],
        AU04=[0.7, 0, 0],
        AU05=[0, None, 0],
        AU12=[0, 0, 0.4],
    )
    write_shards([edits], data / "edit" / "faces", FACE_SCHEMA)
    made = face_table(
        ["</script>/0", "synth/1"], origin="synthetic", source_id="synth", AU04=0.5, AU12=0.5
    )
    write_shards([made], data / "synthesize" / "faces", FACE_SCHEMA)
    people = face_table(["synth"]).assign(gender="female", age_group="old")
    (data / "synthesize" / "identities").mkdir()
    people.to_parquet(data / "synthesize" / "identities" / "part-00000.parquet")
    decisions = decide(
        pd.concat([edits, made]),
        [None, "au_consistency", "realism", None, None],
        jaccard=[1.0, 0.25, None, 1.0, 1.0],
    )
    (data / "filter").mkdir()
    decisions.to_parquet(data / "filter" / "decisions.parquet")
    refused = Rejects("skip")
    refused.add([Violation("a.csv", 3, "AU04", "7", "outside [0, 1]")])
    assert refused.to_table().schema == REJECT_SCHEMA
    pq.write_table(refused.to_table(), data / "ingest" / "mine" / "rejects.parquet")
    return root


@pytest.fixture(scope="module")
def page(root: Path) -> Path:
    path = root / "inspect.html"
    assert write_inspection(**inspectable(root, None), path=path) == 11
    return path


def embedded(page: Path) -> dict:
    text = page.read_text()
    (data,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', text, re.S)
    return json.loads(data)


def test_samples_on_the_page(page: Path) -> None:
    data = embedded(page)
    samples = {sample["id"]: sample for sample in data["samples"]}
    assert len(samples) == 12 and list(data["names"]) == list(AUS)
    edit = samples["SN0/0/edit/AU05"]
    assert (edit["image"], edit["source"]) == ("SN0/0/edit/AU05", "SN0/0")
    assert edit["reason"] == "AU consistency" and edit["scores"] == {"AU similarity": "0.25"}
    assert edit["edited"] == "AU05" and edit["aus"][AUS.index("AU05")] is None
    assert edit["group"] == "not annotated"
    assert samples["SN3/0"]["group"] == "male young" and samples["SN3/0"]["source"] is None
    assert samples["</script>/0"]["group"] == "female old"
    assert samples["a.csv: 3"]["why"] == "a.csv: 3 AU04 7 outside [0, 1]"
    shown = {sample[key] for sample in samples.values() for key in ("image", "source")} - {None}
    assert shown == data["images"].keys()
    assert all(image.startswith("data:image/webp;base64,") for image in data["images"].values())


def test_the_page_stands_alone(page: Path) -> None:
    text = page.read_text()
    assert "All 11 faces." in text
    assert not re.findall(r"https?://", text) and "<link" not in text
    assert len(re.findall(r"<label>", text)) == len(re.findall(r"<select|<input", text)) == 6


def test_rare_labels_are_drawn_too(root: Path, tmp_path: Path) -> None:
    many = face_table([f"SN{n}/many" for n in range(300)])
    write_shards([many], tmp_path / "many", FACE_SCHEMA)
    tables = inspectable(root, None)
    tables["faces"] = [tmp_path / "many", *tables["faces"]]
    pages = [tmp_path / "one.html", tmp_path / "two.html"]
    for path in pages:
        assert write_inspection(**tables, path=path, most=20) == 20
    assert pages[0].read_bytes() == pages[1].read_bytes()
    assert "20 of 311 faces, drawn evenly" in pages[0].read_text()
    ids = {sample["id"] for sample in embedded(pages[0])["samples"]}
    assert {"SN0/0/edit/AU04", "SN0/0/edit/AU05", "SN0/0/edit/AU12", "synth/1"} <= ids


def test_inspectable_artefacts(root: Path, tmp_path: Path) -> None:
    assert len(inspectable(root, "mine")["faces"]) == 1
    path = root / "data" / "edit" / "faces"
    assert write_inspection(**inspectable(root, str(path)), path=tmp_path / "edits.html") == 3
    with pytest.raises(FacsimileError, match=r"other: neither a face table .* ingested: mine"):
        inspectable(root, "other")
    with pytest.raises(FacsimileError, match="does not exist yet"):
        inspectable(tmp_path, None)
    other = tmp_path / "other.parquet"
    pd.DataFrame({"sample_id": ["a"]}).to_parquet(other)
    with pytest.raises(FacsimileError, match=r"other\.parquet: missing column image"):
        write_inspection(**inspectable(root, str(other)), path=tmp_path / "other.html")


@pytest.mark.skipif(CHROMIUM is None, reason="needs chromium")
@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ("au=AU04&origin=edited", ["SN0/0/edit/AU04"]),
        ("au=AU05", ["SN0/0/edit/AU05"]),
        ("group=female+old&q=SYNTH", ["synth/1"]),
        ("verdict=refused+at+ingest", ["a.csv: 3"]),
        ("verdict=realism&origin=synthetic", []),
    ],
)
def test_filters_in_a_browser(
    page: Path, tmp_path: Path, filters: str, expected: list[str]
) -> None:
    command = [
        CHROMIUM,
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-background-networking",
        f"--user-data-dir={tmp_path}",
        "--dump-dom",
        f"{page.as_uri()}#{filters}",
    ]
    dom = subprocess.run(command, capture_output=True, text=True, timeout=120).stdout
    assert re.findall(r'data-id="(.*?)"', dom) == expected
    assert f"{len(expected)} of 12 samples" in dom
