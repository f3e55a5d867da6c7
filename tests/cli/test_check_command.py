"""``facsimile check`` on datasets of all kinds, and on what is none."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from click.testing import Result
from typer.testing import CliRunner

from cli.app import app
from facsimile.faces.tables import FACE_SCHEMA, write_shards
from tasks.params import read_params
from tests.facsimile.datasets.trees import pixels, write_disfa, write_image
from tests.support.faces import face_table
from tests.support.project import write_params

LABELS = "AU04,AU12"
NEUTRAL, ACTIVE = "0,0", "0.5,0.1"


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project, which is the current folder."""
    write_params(tmp_path, {})
    (tmp_path / "dvc.yaml").write_text("stages: {}\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def check(*arguments: object) -> Result:
    """The command; nothing may be written."""
    before = sorted(Path().rglob("*"))
    result = CliRunner().invoke(app, ["check", *map(str, arguments)])
    assert sorted(Path().rglob("*")) == before
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def table(root: Path, **cells: str) -> Path:
    """A CSV of five people with a neutral and an active face each; `cells` replace labels."""
    lines = []
    for n in range(10):
        person, name = f"p{n // 2}", f"img/{n}.png"
        write_image(root / name, pixels(n))
        labels = cells.get(f"face{n}", ACTIVE if n % 2 else NEUTRAL)
        lines.append(f"{name},{person},{labels}")
    path = root / "faces.csv"
    path.write_text("\n".join([f"image_path,subject_id,{LABELS}", *lines]))
    return path


def params_of(result: Result) -> dict:
    return yaml.safe_load(result.stdout.partition("params.yaml:")[2])


def test_a_table_that_can_be_used(root: Path) -> None:
    table(root)
    result = check("faces.csv")
    assert result.exit_code == 0, result.output
    out = [" ".join(line.split()) for line in result.stdout.splitlines()]
    assert out[0] == "faces.csv: adapter table, 10 faces of 5 people"
    assert out[1] == "10 pictures: 10 of 8 × 8 pixels; decoded 10"
    assert {"train 6 3", "val 2 1", "test 2 1"} <= set(out)
    assert "AU04 10 0.00 0.50 5 5" in out and "AU12 10 0.00 0.10 5 5" in out
    assert "no rejects" in out
    assert "train, as datasets.aus: ready with AU04, AU12" in out
    assert "edit, as datasets.attributes: lacking" in out
    assert "name another dataset under datasets.attributes" in result.stdout


def test_the_printed_lines_are_params(root: Path) -> None:
    table(root, face1="5,1", face3="3,2")
    refused = check("faces.csv")
    assert refused.exit_code == 2 and len(refused.stderr.splitlines()) == 1
    assert "set `scale: 0-5` under ingest.paths.my-faces, or give it as an option" in refused.stderr
    result = check("faces.csv", "--scale", "0-5")
    assert result.exit_code == 0, result.output
    printed = params_of(result)
    assert printed["ingest"] == {"paths": {"my-faces": {"root": "faces.csv", "scale": "0-5"}}}
    assert printed["datasets"]["aus"] == "my-faces"
    write_params(root, printed)
    assert read_params()["datasets"].aus == "my-faces"
    # What params.yaml says of it is the default.
    assert check("faces.csv").stdout == result.stdout


def test_rejects_are_counted_by_reason_and_end_ingest_unless_skipped(root: Path) -> None:
    table(root, face8="7,0", face9="0,x")
    (root / "img" / "0.png").write_bytes(b"no picture")
    (root / "img" / "1.png").unlink()
    write_image(root / "img" / "2.png", pixels(2, 8, 6))
    write_image(root / "img" / "4.png", pixels(4, 8, 7))
    result = check("faces.csv")
    assert result.exit_code == 1
    assert "some pictures are not square: crop them with --crop" in result.stderr
    assert "set `on_error: skip`" in check("faces.csv", "--crop").stderr
    rejects = result.stdout.partition("6 rejects:")[2].partition("train, as")[0]
    assert (
        "  2 ×  faces.csv: line 4 (my-faces/img/2) column image_path: img/2.png is 6 × 8" in rejects
    )
    assert "line 10 (my-faces/img/8) column AU04: 7" in rejects
    assert "line 11 (my-faces/img/9) column AU12: x not a number" in rejects
    assert "img/1.png is not a file" in rejects and "img/0.png is unreadable" in rejects
    skipped = check("faces.csv", "--on-error", "skip", "--crop")
    assert "4 rejects:" in skipped.stdout and "faces.csv: adapter table, 6 faces of 3 people" in (
        skipped.stdout
    )
    assert params_of(skipped)["ingest"]["on_error"] == "skip"


def test_folders_are_recognised_or_declared(root: Path) -> None:
    write_disfa(root / "DISFA")
    result = check("DISFA")
    assert "DISFA: adapter disfa," in result.stdout
    assert params_of(check("DISFA", "--adapter", "disfa"))["ingest"] == {
        "paths": {"DISFA": {"root": "DISFA", "adapter": "disfa"}}
    }


def test_face_tables_of_test_people_and_of_attributes(root: Path) -> None:
    ids = [f"q{n // 2}/{n}" for n in range(16)]
    n = np.arange(16)
    attributes = {"eyeglasses": n % 2, "beard": n % 2, "male": n // 2 % 2, "age": n // 4 % 2}
    people = face_table(ids, aus=np.nan, **attributes)
    tests = face_table(["t/0", "t/1"], split="test", AU12=[0.0, 1.0])
    for name, rows in (("world-celeba", people), ("others", tests)):
        rows = rows.reindex(columns=FACE_SCHEMA.names)
        write_shards([rows], root / name, FACE_SCHEMA)
    result = check("world-celeba")
    assert result.exit_code == 0, result.output
    assert "edit, as datasets.attributes: ready" in result.stdout
    # The name of a built-in dataset is taken.
    assert params_of(result)["datasets"]["attributes"] == "my-world-celeba"
    result = check("others")
    assert result.exit_code == 0, result.output
    assert params_of(result)["datasets"]["tests"][-1] == "others"


def test_what_is_lacking_is_said(root: Path) -> None:
    table(root, **{f"face{n}": NEUTRAL for n in range(10)})
    result = check("faces.csv")
    assert result.exit_code == 1
    assert (
        "my-faces: split train: " in result.stdout and "annotate an AU as absent" in result.stdout
    )
    assert result.stderr.splitlines()[-1].startswith("facsimile: not usable yet")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nothing", "nothing does not exist"),
        ("empty", "empty: is an empty folder"),
        ("photos", "photos: none of the layouts table, disfa, disfa-plus, bp4d, celeba, ffhq"),
        (
            "photos/a.png",
            "a.png: is a picture; for pictures, name a table that lists them",
        ),
        ("notes", "feafa, and no pictures"),
        ("notes/a.docx", "a.docx: is neither Parquet nor text with one of the suffixes .csv"),
        ("notes/b.txt", "b.txt: missing column image_path"),
        ("tables", "name one of its tables, such as more/faces.csv"),
    ],
)
def test_what_is_no_dataset(root: Path, name: str, message: str) -> None:
    (root / "empty").mkdir()
    write_image(root / "photos" / "a.png", pixels(0))
    (root / "notes").mkdir()
    (root / "notes" / "a.docx").write_bytes(b"PK")
    (root / "notes" / "b.txt").write_text("hello\n")
    (root / "tables" / "more").mkdir(parents=True)
    (root / "tables" / "more" / "faces.csv").write_text("image_path\n")
    result = check(name)
    assert result.exit_code == 2
    assert message in result.stderr and len(result.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--scale", "7"], "ingest.paths.my-faces.scale: input should be '0-1', '0-5', '0-100'"),
        (["--adapter", "excel"], "ingest.paths.my-faces.adapter: 'excel' is not an adapter"),
        (["--first-frame", "0"], "faces.csv: this file layout has no option first_frame"),
        (["--align", "columns"], "faces.csv: missing column left_eye_x"),
        (["--on-error", "ignore"], "ingest.on_error: input should be 'raise' or 'skip'"),
    ],
)
def test_options_are_those_of_params(root: Path, options: list[str], message: str) -> None:
    table(root)
    result = check("faces.csv", *options)
    assert result.exit_code == 2
    assert message in result.stderr and len(result.stderr.splitlines()) == 1


def test_a_table_outside_the_project_is_named_in_full(root: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "project"
    elsewhere.mkdir()
    write_params(elsewhere, {})
    (elsewhere / "dvc.yaml").write_text("stages: {}\n")
    path = table(root)
    result = check("faces.csv", "--root", elsewhere)
    assert params_of(result)["ingest"]["paths"] == {"my-faces": str(path.resolve())}


def test_labels_of_a_parquet_table_are_read_as_in_a_csv(root: Path) -> None:
    pd.read_csv(table(root)).to_parquet(root / "faces.parquet")
    as_text = check("faces.csv").stdout.replace("faces.csv", "faces.parquet")
    assert check("faces.parquet").stdout == as_text
