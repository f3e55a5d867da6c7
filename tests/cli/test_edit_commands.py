"""``facsimile edit`` and ``facsimile transfer`` on pictures, folders and junk."""

from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import Result
from PIL import Image
from typer.testing import CliRunner

from cli.app import app
from cli.edit_commands import parse_levels
from facsimile.detection import AUEnsemble
from facsimile.editing import load_editor
from facsimile.errors import FacsimileError
from facsimile.faces.aus import AUS
from facsimile.faces.tables import to_tensor, to_uint8
from facsimile.generator import (
    DiffAEPipeline,
    InferenceOptions,
)
from facsimile.release import DIGITAL_SOURCE_TYPE
from flows.picture_files import name_outputs
from tasks.shared.artefacts import BASELINE, EDITOR, GENERATOR
from tests.support.detectors import SIZE, pictures
from tests.support.editing import KNOWN, directions, write_models
from tests.support.project import write_params


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with a generator, an editor of two AUs and a baseline detector."""
    root = tmp_path_factory.mktemp("project")
    write_params(root, {"ingest": {"size": SIZE}, "sampling": {"steps": 2}})
    (root / "dvc.yaml").write_text("stages: {}\n")
    write_models(root)
    return root


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two faces, one of them in a folder of its own, and a file that is no picture."""
    folder = tmp_path / "faces"
    (folder / "more").mkdir(parents=True)
    images = pictures(2)
    Image.fromarray(images[0]).save(folder / "a.png")
    Image.fromarray(images[1]).save(folder / "more" / "b.png")
    (folder / "junk.jpg").write_text("no picture")
    return folder


def invoke(root: Path, *arguments: object) -> Result:
    return CliRunner().invoke(app, [*map(str, arguments), "--root", str(root)])


def expected(root: Path, image: np.ndarray, levels: dict[str, float]) -> np.ndarray:
    """The edit written out: the code moves by the rise of each AU times its direction."""
    options = InferenceOptions("dpm++", 2, 50)
    generator = DiffAEPipeline.from_pretrained(root / GENERATOR, "cpu", options)
    read = AUEnsemble.load(root / BASELINE).predict(image[None])[0].clip(0, 1)
    tensor = to_tensor(image[None])
    codes = generator.invert(tensor, generator.encode(tensor))
    moved = codes.z + sum(
        (level - float(read[AUS.index(au)])) * torch.from_numpy(directions().vector(au))
        for au, level in levels.items()
    )
    return to_uint8(generator.decode(codes.replace_z(moved)))[0]


def test_an_edit_moves_the_code_by_the_rise_of_each_au(project: Path, folder: Path) -> None:
    out = folder.parent / "out" / "smile.png"
    source = folder / "a.png"
    result = invoke(project, "edit", source, "--au", "AU12=0.8", "--au", "au4=0", "-o", out)
    assert result.exit_code == 0, result.output
    assert "1 of 1 faces" in result.stdout and "wanted" in result.stdout
    edited = np.asarray(Image.open(out))
    wanted = expected(project, np.asarray(Image.open(source)), {"AU12": 0.8, "AU04": 0.0})
    assert np.abs(edited.astype(int) - wanted).max() <= 1
    text = out.read_bytes().decode("latin-1")
    assert DIGITAL_SOURCE_TYPE in text and load_editor(project / EDITOR).digest in text


def test_folders_are_edited_and_junk_is_listed(project: Path, folder: Path) -> None:
    out = folder.parent / "out"
    result = invoke(project, "edit", folder, "--au", "AU12=1", "-o", out)
    assert result.exit_code == 0, result.output
    assert sorted(path.relative_to(out) for path in out.rglob("*.png")) == [
        Path("a.png"),
        Path("more/b.png"),
    ]
    assert "junk.jpg is unreadable" in result.stderr and "2 of 3 faces" in result.stdout


def test_the_expression_of_another_face_is_read_and_set(project: Path, folder: Path) -> None:
    out = folder.parent / "copy.png"
    reference = folder / "more" / "b.png"
    result = invoke(project, "transfer", folder / "a.png", "--like", reference, "-o", out)
    assert result.exit_code == 0, result.output
    read = AUEnsemble.load(project / BASELINE).predict(np.asarray(Image.open(reference))[None])
    levels = {au: float(read[0, AUS.index(au)].clip(0, 1)) for au in KNOWN}
    wanted = expected(project, np.asarray(Image.open(folder / "a.png")), levels)
    assert np.abs(np.asarray(Image.open(out)).astype(int) - wanted).max() <= 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--au", "AU12"], "--au AU12: write AU=INTENSITY"),
        (["--au", "AU13=1"], "AU13 is not one of AU01 inner brow raiser"),
        (["--au", "AU12=1.5"], "'1.5' is not an intensity from 0"),
        (["--au", "AU12=nan"], "'nan' is not an intensity"),
        (["--au", "AU12=1", "--au", "AU12=0"], "AU12 is given twice"),
        (["--au", "AU06=1"], "editor linear cannot change AU06; it changes AU04, AU12"),
        (["--au", "AU12=1", "--method", "magic"], "--method magic is not one of linear"),
        (["--au", "AU12=1", "--method", "label-free"], "label-free is not fitted; run"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(
    project: Path, folder: Path, arguments: list[str], message: str
) -> None:
    out = folder.parent / "out.png"
    result = invoke(project, "edit", folder / "a.png", *arguments, "-o", out)
    assert result.exit_code == 2
    assert message in result.stderr and len(result.stderr.strip().splitlines()) == 1
    assert not out.exists()


def test_a_reference_without_a_face_is_named(project: Path, folder: Path) -> None:
    out = folder.parent / "out.png"
    result = invoke(project, "transfer", folder / "a.png", "--like", folder / "junk.jpg", "-o", out)
    assert result.exit_code == 2 and "junk.jpg is unreadable" in result.stderr


def test_a_project_without_an_editor_says_what_to_run(tmp_path: Path, folder: Path) -> None:
    (tmp_path / "dvc.yaml").write_text("stages: {}\n")
    write_params(tmp_path, {})
    out = tmp_path / "out.png"
    result = invoke(tmp_path, "edit", folder / "a.png", "--au", "AU12=1", "-o", out)
    assert result.exit_code == 2 and "no editor is fitted yet; run `facsimile run`" in result.stderr


def test_levels_are_read_from_texts() -> None:
    assert parse_levels(["AU12=0.8", "au4 = 0", "5=1"]) == {"AU12": 0.8, "AU04": 0.0, "AU05": 1.0}


def test_originals_are_not_overwritten(tmp_path: Path) -> None:
    face = tmp_path / "a.png"
    face.touch()
    with pytest.raises(FacsimileError, match=r"a\.png would be overwritten"):
        name_outputs([face], face)
    with pytest.raises(FacsimileError, match=r"a\.png would be overwritten"):
        name_outputs([tmp_path], tmp_path)
    with pytest.raises(FacsimileError, match="written as PNG"):
        name_outputs([face], tmp_path / "a.jpg")
    (tmp_path / "a.jpg").touch()
    with pytest.raises(FacsimileError, match="would both become"):
        name_outputs([tmp_path], tmp_path / "out")
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(FacsimileError, match="no pictures in this folder"):
        name_outputs([empty], tmp_path / "out")
