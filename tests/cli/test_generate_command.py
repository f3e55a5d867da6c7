"""``facsimile generate``: a folder of labelled faces, or one line that says what is wrong."""

from pathlib import Path

import pandas as pd
import pytest
from click.testing import Result
from PIL import Image
from typer.testing import CliRunner

from cli.app import app
from facsimile.datasets import ADAPTERS, Rejects, recognise
from facsimile.faces.aus import AUS
from facsimile.release import DIGITAL_SOURCE_TYPE
from tests.support.describing import write_describer
from tests.support.detectors import SIZE
from tests.support.editing import write_models
from tests.support.project import write_params


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("project")
    write_params(root, {"ingest": {"size": SIZE}, "sampling": {"steps": 2}})
    (root / "dvc.yaml").write_text("stages: {}\n")
    write_models(root)
    write_describer(root)
    return root


def generate(root: Path, *arguments: object) -> Result:
    return CliRunner().invoke(app, ["generate", *map(str, arguments), "--root", str(root)])


def test_faces_labels_and_a_sheet(project: Path, tmp_path: Path) -> None:
    out = tmp_path / "faces"
    result = generate(project, "neutral, old men", "--count", 20, "-o", out)
    assert result.exit_code == 0 and f"{out}: 20 faces of" in result.output
    table = pd.read_csv(out / "labels.csv")
    assert len(table) == 20 and (table[list(AUS)] == 0).all(axis=None)
    assert (table["male"] == 1).all() and (table["age"] > 0.66).all()
    for path in table["image_path"]:
        assert Image.open(out / path).size == (SIZE, SIZE)
    picture = (out / table["image_path"][0]).read_bytes()
    assert DIGITAL_SOURCE_TYPE.encode() in picture and b"neutral, old men" in picture
    assert Image.open(out / "sheet.png").width > 6 * SIZE
    again = tmp_path / "again"
    generate(project, "neutral, old men", "--count", 5, "-o", again)
    assert pd.read_csv(again / "labels.csv").equals(table[:5])


def test_the_table_is_a_dataset(project: Path, tmp_path: Path) -> None:
    table = tmp_path / "faces" / "labels.csv"
    generate(project, "neutral women", "--count", 4, "-o", table.parent)
    rows = ADAPTERS[recognise(table)].annotate(table, "mine", Rejects("raise"))
    assert len(rows) == 4 and (rows[list(AUS)].astype(float) == 0).all(axis=None)


@pytest.mark.parametrize(
    ("prompt", "problem"),
    [
        ("smirk", "prompt 'smirk': 'smirk' is not understood"),
        ("AU12C", "only 0 of 9 faces agree with 'AU12C'"),
        ("neutral women with a beard", "the identity bank has nobody with"),
    ],
)
def test_what_cannot_be_generated_leaves_nothing(
    project: Path, tmp_path: Path, prompt: str, problem: str
) -> None:
    result = generate(project, prompt, "--count", 3, "-o", tmp_path / "out")
    assert result.exit_code == 2 and list(tmp_path.iterdir()) == []
    assert problem in result.stderr and result.stderr.count("\n") == 1


def test_an_existing_folder_is_not_touched(project: Path, tmp_path: Path) -> None:
    result = generate(project, "neutral", "-o", tmp_path)
    assert result.exit_code == 2 and "exists already" in result.stderr
