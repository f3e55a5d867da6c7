"""``facsimile align`` on folders, single photographs and junk, with landmarks of a toy model."""

from pathlib import Path

import numpy as np
import pytest
from click.testing import Result
from PIL import Image
from typer.testing import CliRunner

from cli.app import app
from facsimile.adapter_modules import LANDMARK_MODELS
from facsimile.datasets.alignment import align
from tests.facsimile.datasets.trees import write_image

POINTS = np.array([[40, 40], [60, 40], [50, 50], [43, 60], [57, 60]], float)


def find(image: np.ndarray) -> np.ndarray | None:
    """A face at ``POINTS`` if the first pixel is white, two of them if it is black, else none."""
    faces = {255: 1, 0: 2}.get(int(image[0, 0, 0]))
    return np.stack([POINTS] * faces) if faces else None


@pytest.fixture(autouse=True)
def toy_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(LANDMARK_MODELS, "dlib", f"{__name__}:find")


def photo(first: int = 255, seed: int = 0) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(1, 255, (100, 120, 3), np.uint8)
    pixels[0, 0] = first
    return Image.fromarray(pixels)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two photographs, one in a folder of its own; two that show nobody or two people; junk."""
    folder = tmp_path / "photos"
    write_image(folder / "a.png", photo(seed=1))
    write_image(folder / "more" / "b.tiff", photo(seed=2))
    write_image(folder / "nobody.png", photo(128))
    write_image(folder / "pair.png", photo(0))
    (folder / "broken.jpg").write_bytes(b"no picture")
    (folder / "phone.HEIC").write_bytes(b"not read")
    return folder


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["align", *map(str, arguments)])


def test_folders_are_kept_and_rejects_counted(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    result = run(folder, "-o", out, "--size", 32)
    assert result.exit_code == 0, result.output
    assert sorted(path.relative_to(out) for path in out.rglob("*") if path.is_file()) == [
        Path("a.png"),
        Path("more/b.png"),
    ]
    expected = align(photo(seed=2), POINTS[[0, 1, 3, 4]], 32)
    np.testing.assert_array_equal(np.asarray(Image.open(out / "more" / "b.png")), expected)
    assert "3 rejects:" in result.stdout and f"{out}: 2 of 5 faces\n" in result.stdout
    assert "nobody.png: has no face that dlib can find" in result.stdout
    assert "pair.png: shows 2 faces; crop it to one of them" in result.stdout
    assert "broken.jpg: is unreadable" in result.stdout
    assert "passed over, not pictures by their names: 1 .heic" in result.stdout


def test_existing_files_are_replaced_only_on_demand(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    (out / "more").mkdir(parents=True)
    (out / "a.png").write_text("mine")
    result = run(folder, "-o", out)
    assert result.exit_code == 0
    assert "1 of 5 faces; 1 were there already, --overwrite replaces them" in result.stdout
    assert (out / "a.png").read_text() == "mine"
    assert "2 of 5 faces\n" in run(folder, "-o", out, "--overwrite").stdout
    assert Image.open(out / "a.png").size == (256, 256)


def test_results_in_a_folder_of_the_photographs_are_not_read_again(folder: Path) -> None:
    for _ in range(2):
        assert "of 5 faces" in run(folder, "-o", folder / "aligned").stdout


def test_a_single_photograph(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "face.png"
    assert run(folder / "a.png", "-o", out, "--size", 48).exit_code == 0
    assert Image.open(out).size == (48, 48)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nothing", "-o", "out"], "nothing does not exist"),
        (
            ["photos", "-o", "notes/a.txt"],
            "notes/a.txt is a file, but several pictures need",
        ),
        (["photos/a.png", "-o", "out.jpg"], "out.jpg: pictures are written as PNG"),
        (["photos/a.png", "-o", "photos/a.png"], "a.png would be overwritten; name another file"),
        (["notes", "-o", "out"], "notes: no pictures in this folder, only .txt; supported: .bmp"),
    ],
)
def test_bad_input_is_one_line(
    folder: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], message: str
) -> None:
    monkeypatch.chdir(folder.parent)
    Path("notes").mkdir()
    Path("notes/a.txt").touch()
    result = run(*arguments)
    assert result.exit_code == 2
    assert message in result.stderr and len(result.stderr.splitlines()) == 1
    assert not Path("out").exists()


def test_without_any_face_the_status_says_so(folder: Path, tmp_path: Path) -> None:
    result = run(folder / "nobody.png", "-o", tmp_path / "face.png")
    assert result.exit_code == 2 and not (tmp_path / "face.png").exists()
    assert "0 of 1 faces" in result.stdout
