"""dlib finds the faces of the embedded world, wherever they are in a photograph."""

import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from facsimile import world
from facsimile.datasets import Aligner, Preprocessing, Rejects, table
from facsimile.datasets.alignment import four_points
from facsimile.errors import FacsimileError
from facsimile.faces.tables import decode_images
from facsimile.world.render import EYE_DISTANCE, EYE_ROW

SIDE = 256  # of the rendered faces
SIZE = 64  # of the aligned ones

needs_dlib = pytest.mark.skipif(
    not (find_spec("dlib") and find_spec("face_recognition_models")),
    reason="needs the extra photos",
)


def test_without_the_extra_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "dlib", None)
    monkeypatch.delitem(sys.modules, "facsimile.datasets.dlib_landmarks", raising=False)
    with pytest.raises(FacsimileError, match=r"install it with pip install 'facsimile-faces\[pho"):
        Aligner("dlib")


@pytest.fixture(scope="module")
def faces() -> np.ndarray:
    """Twelve people, uint8 (12, SIDE, SIDE, 3)."""
    tables = world.iter_faces("world-ffhq", 12, SIDE, 0)
    return np.concatenate([decode_images(rows.to_pandas()) for rows in tables])


@pytest.fixture(scope="module")
def find() -> Callable[[np.ndarray], np.ndarray | None]:
    from facsimile.datasets import dlib_landmarks

    return dlib_landmarks.find


def photograph(
    faces: np.ndarray, *places: tuple[int, int, int], size: tuple[int, int] = (900, 700)
) -> Image.Image:
    """Faces at (x, y, side) in front of a wall."""
    picture = Image.linear_gradient("L").resize(size).convert("RGB")
    for face, (x, y, side) in zip(faces, places, strict=True):
        picture.paste(Image.fromarray(face).resize((side, side)), (x, y))
    return picture


@needs_dlib
def test_eyes_are_where_the_renderer_puts_them(faces: np.ndarray, find: Callable) -> None:
    eyes = [[0.5 - EYE_DISTANCE / 2, EYE_ROW], [0.5 + EYE_DISTANCE / 2, EYE_ROW]]
    found = np.stack([four_points(find(face)[0])[:2] for face in faces])
    errors = np.hypot(*np.moveaxis(found - (np.array(eyes) * SIDE - 0.5), -1, 0))
    # Heads are turned, and glasses hide eyes.
    assert np.median(errors) < 0.02 * SIDE


@needs_dlib
@pytest.mark.parametrize("scale", [0.25, 1, 12])
def test_landmarks_do_not_depend_on_resolution(
    faces: np.ndarray, find: Callable, scale: float
) -> None:
    side = round(SIDE * scale)
    picture = np.asarray(Image.fromarray(faces[0]).resize((side, side)))
    errors = find(picture)[0] / side - find(faces[0])[0] / SIDE
    assert np.abs(errors).mean() < 0.02


@needs_dlib
def test_the_subject_is_aligned_and_of_equals_none_is(faces: np.ndarray, find: Callable) -> None:
    aligner = Aligner("dlib")
    alone = aligner(photograph(faces[:1], (300, 200, 300)), None, SIZE).astype(int)
    beside = photograph(faces[:2], (300, 200, 300), (650, 100, 110))
    assert len(find(np.asarray(photograph(faces[:2], (100, 100, 300), (500, 100, 280))))) == 2
    assert np.abs(aligner(beside, None, SIZE) - alone).mean() < 3
    with pytest.raises(FacsimileError, match="shows 2 faces; crop it to one of them"):
        aligner(photograph(faces[:2], (100, 100, 300), (500, 100, 280)), None, SIZE)
    with pytest.raises(FacsimileError, match="has no face that dlib can find"):
        aligner(photograph(faces[:0]), None, SIZE)


@needs_dlib
def test_photographs_of_a_table_are_aligned(tmp_path: Path, faces: np.ndarray) -> None:
    """Upright, marked as turned by the camera, grey with 16 bits, transparent, without a face."""
    upright = photograph(faces[3:4], (300, 200, 300))
    upright.save(tmp_path / "upright.png")
    for orientation, turn in ((3, "ROTATE_180"), (6, "ROTATE_90"), (8, "ROTATE_270")):
        exif = Image.Exif()
        exif[0x0112] = orientation
        turned = upright.transpose(Image.Transpose[turn])
        turned.save(tmp_path / f"exif{orientation}.jpg", exif=exif, quality=95)
    grey = np.asarray(upright.convert("L"))
    Image.fromarray(grey.astype(np.uint16) * 257).save(tmp_path / "grey.png")
    upright.convert("CMYK").save(tmp_path / "cmyk.jpg", quality=95)
    alpha = upright.convert("RGBA")
    alpha.putalpha(200)
    alpha.save(tmp_path / "transparent.png")
    photograph(faces[:0]).save(tmp_path / "wall.png")
    names = sorted(path.name for path in tmp_path.iterdir())
    rows = pd.DataFrame({"image_path": names, "subject_id": [f"p{n}" for n in range(len(names))]})
    rows.assign(AU12=0).to_csv(tmp_path / "faces.csv", index=False)

    rejects = Rejects("skip")
    annotations = table.ADAPTER.open(tmp_path / "faces.csv", "mine", 0, rejects)
    preprocessing = Preprocessing(SIZE, aligner=Aligner("dlib"))
    tables = table.ADAPTER.faces(annotations, preprocessing, rejects, workers=2)
    aligned = pd.concat([part.to_pandas() for part in tables])
    assert [found.value for found in rejects.found] == ["wall.png"]
    images = dict(zip(aligned["sample_id"], decode_images(aligned).astype(int), strict=True))
    reference = images.pop("mine/upright")
    assert len(images) == 6
    grey = np.asarray(Image.fromarray(reference.astype(np.uint8)).convert("L"))[..., None]
    expected = {"mine/grey": grey, "mine/transparent": reference * (200 / 255) + 55}
    for name, image in images.items():
        assert np.abs(image - expected.get(name, reference)).mean() < 6, name
