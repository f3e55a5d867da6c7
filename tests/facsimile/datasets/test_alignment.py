"""A face of the embedded world, however it lies in a larger picture, is framed as FFHQ does it."""

import io
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from facsimile import world
from facsimile.datasets import Aligner, Rejects, table
from facsimile.datasets.adapter import Preprocessing
from facsimile.datasets.alignment import LANDMARKS, align, four_points
from facsimile.errors import FacsimileError
from facsimile.faces.tables import decode_images, to_tensor
from facsimile.generator.evaluation import fidelity
from facsimile.world.render import EYE_DISTANCE, EYE_ROW

SIDE = 128  # of the rendered face
SIZE = 64  # of the aligned one

# Where the renderer puts the eyes; the mouth is about where this face has it.
EYES = [[0.5 - EYE_DISTANCE / 2, EYE_ROW], [0.5 + EYE_DISTANCE / 2, EYE_ROW]]
MOUTH = [[0.41, 0.70], [0.59, 0.70]]
POINTS = np.array(EYES + MOUTH) * SIDE - 0.5


@pytest.fixture(scope="module")
def face() -> Image.Image:
    (rows,) = world.iter_faces("world-ffhq", 1, SIDE, 0)
    return Image.fromarray(decode_images(rows.to_pandas())[0])


def place(
    face: Image.Image, degrees: float, scale: float, x: float, y: float, width: int, height: int
) -> tuple[Image.Image, np.ndarray]:
    """Turn a face clockwise and put its centre at (x, y) of a grey picture; also its landmarks."""
    angle = np.deg2rad(degrees)
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    middle = np.full(2, SIDE / 2)
    back = np.linalg.inv(turn)
    offset = middle - back @ [x, y]
    coefficients = (*back[0], offset[0], *back[1], offset[1])
    picture = face.convert("RGBA").transform(
        (width, height), Image.Transform.AFFINE, coefficients, Image.Resampling.BICUBIC
    )
    ground = Image.new("RGBA", (width, height), (128, 128, 128, 255))
    points = (POINTS + 0.5 - middle) @ turn.T + [x, y] - 0.5
    return Image.alpha_composite(ground, picture).convert("RGB"), points


def middle_of(crop: np.ndarray) -> torch.Tensor:
    """What lies within the rendered square, whatever it stood on: the middle 0.6 of the crop."""
    edge = SIZE // 5
    return to_tensor(crop[None, edge:-edge, edge:-edge])


def similarity(one: np.ndarray, other: np.ndarray) -> float:
    """SSIM of two crops."""
    return fidelity(middle_of(one), middle_of(other))[0]


def test_a_face_looks_the_same_wherever_it_lies(face: Image.Image) -> None:
    reference = align(*place(face, 0, 2, 300, 300, 600, 600), SIZE)
    rng = np.random.default_rng(0)
    for _ in range(8):
        degrees, scale = rng.uniform(-180, 180), rng.uniform(1.2, 4)
        x, y = rng.uniform(450, 550, 2)
        crop = align(*place(face, degrees, scale, x, y, 1000, 1000), SIZE)
        assert similarity(crop, reference) > 0.95


def test_eyes_come_to_the_same_place(face: Image.Image) -> None:
    for degrees, scale in ((0, 1.0), (25, 1.5), (-70, 3.0), (180, 2.0)):
        _, points = place(face, degrees, scale, 400, 350, 800, 700)
        pixels = np.zeros((700, 800, 3), np.uint8)
        row, column = np.mgrid[:700, :800]
        found = []
        for eye in points[:2]:
            dot = np.hypot(column - eye[0], row - eye[1]) < 8 * scale
            crop = align(Image.fromarray(np.where(dot[..., None], 255, pixels)), points, SIZE)
            weights = crop.mean(2)
            weights /= weights.sum()
            found.append([weights.sum(0) @ np.arange(SIZE), weights.sum(1) @ np.arange(SIZE)])
        # Half a side is 2 e or 1.8 m, whichever is more; the centre is 0.1 m below the eyes.
        e, m = EYE_DISTANCE, 0.70 - EYE_ROW
        half = max(2 * e, 1.8 * m)
        across = SIZE * e / (2 * half)
        row = SIZE * (0.5 - 0.1 * m / (2 * half))
        expected = np.array([[SIZE / 2 - across / 2, row], [SIZE / 2 + across / 2, row]]) - 0.5
        np.testing.assert_allclose(found, expected, atol=0.6)


@pytest.mark.parametrize(("x", "y"), [(70, 300), (540, 90), (520, 530)])
def test_pixels_beyond_the_border_are_filled_in(face: Image.Image, x: int, y: int) -> None:
    whole = align(*place(face, 10, 2, x + 400, y + 400, 1400, 1400), SIZE)
    picture, points = place(face, 10, 2, x + 400, y + 400, 1400, 1400)
    cut = align(picture.crop((400, 400, 1000, 1000)), points - 400, SIZE)
    # No black or frayed edge, and the face itself as before.
    assert cut.min(2).mean() > 40
    assert similarity(cut, whole) > 0.6
    near = np.abs(cut.astype(int) - whole)[SIZE // 3 : -SIZE // 3, SIZE // 3 : -SIZE // 3]
    assert np.median(near) <= 3


def test_68_landmarks_and_5_are_the_same_points() -> None:
    many = np.full((68, 2), 1000.0)
    many[36:42], many[42:48] = [10, 20], [30, 20]
    many[36], many[39] = [5, 20], [15, 20]
    many[48], many[54] = [12, 40], [28, 40]
    few = np.array([[10, 20], [30, 20], [20, 30], [12, 40], [28, 40]])
    np.testing.assert_array_equal(four_points(many), four_points(few))
    with pytest.raises(ValueError, match=r"\(3, 2\), not \(5, 2\) or \(68, 2\)"):
        four_points(np.zeros((3, 2)))


@pytest.mark.parametrize(
    ("points", "message"),
    [
        (POINTS[[1, 0, 3, 2]], "left and right landmarks swapped"),
        (
            POINTS + np.array([60, 0]),
            r"has its right eye at \(142\.06, 46\.86\), outside the image of 128 × 128",
        ),
        (
            np.array([[30, 30], [98, 30], [45, 100], [83, 100]]),
            "is cropped too close to the face: it has only 22% of the aligned square",
        ),
        (np.full((4, 2), 60.0), "eyes or mouth at the same point"),
        (np.full((4, 2), np.nan), "has its left eye at"),
    ],
)
def test_points_that_are_no_face(face: Image.Image, points: np.ndarray, message: str) -> None:
    with pytest.raises(FacsimileError, match=message):
        align(face, points, SIZE)


def write(folder: Path, face: Image.Image, **columns: list[Any]) -> Path:
    """A CSV of four people: upright, turned, marked as turned by its camera, without a face."""
    rows = []
    for person, degrees in enumerate((0, 40, 0, None)):
        picture, points = place(face, degrees or 0, 1.5, 200, 180, 420, 360)
        if degrees is None:
            picture, points = Image.new("RGB", (420, 360)), np.full((4, 2), np.nan)
        exif = Image.Exif()
        if person == 2:
            exif[0x0112] = 6  # to be turned clockwise by 90°
            picture = picture.transpose(Image.Transpose.ROTATE_90)
        picture.save(folder / f"{person}.jpg", exif=exif, quality=95)
        landmarks = dict(zip(LANDMARKS, points.flatten(), strict=True))
        rows.append({"image_path": f"{person}.jpg", "subject_id": f"p{person}", **landmarks})
    pd.DataFrame(rows).assign(**columns).to_csv(folder / "faces.csv", index=False)
    return folder / "faces.csv"


def read(path: Path, aligner: Aligner, on_error: str = "skip") -> tuple[np.ndarray, Rejects]:
    """Images of a table, two at a time, and what was rejected."""
    rejects = Rejects(on_error)
    annotations = table.ADAPTER.open(path, "mine", 0, rejects, landmarks=not aligner.name)
    preprocessing = Preprocessing(SIZE, aligner=aligner)
    tables = table.ADAPTER.faces(annotations, preprocessing, rejects, workers=2, batch_size=2)
    rows = pd.concat([part.to_pandas() for part in tables])
    return decode_images(rows), rejects


def test_landmarks_of_a_table(tmp_path: Path, face: Image.Image) -> None:
    path = write(tmp_path, face)
    images, rejects = read(path, Aligner())
    upright, turned, by_camera = images
    assert similarity(turned, upright) > 0.95
    assert similarity(by_camera, upright) > 0.98
    (reject,) = rejects.to_table().to_pylist()
    assert reject == {
        "file": str(path),
        "line": 5,
        "column": "left_eye_x",
        "value": None,
        "reason": "is missing: no landmark",
    }
    with pytest.raises(FacsimileError, match=r"line 5 \(mine/3\) column left_eye_x: is missing"):
        read(path, Aligner(), "raise")


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"mouth_left_y": ["a", "1", "2", "3"]}, r"line 2 \(mine/0\) column mouth_left_y: a not a"),
        ({"right_eye_x": [9999] * 4}, r"line 2 .* image_path: 0.jpg has its right eye at \(9999"),
    ],
)
def test_landmarks_that_are_none(
    tmp_path: Path, face: Image.Image, columns: dict[str, list[Any]], message: str
) -> None:
    path = write(tmp_path, face, **columns)
    rows = path.read_text().splitlines()
    path.write_text("\n".join(rows[:-1]))
    with pytest.raises(FacsimileError, match=message):
        read(path, Aligner(), "raise")


def test_table_without_landmarks(tmp_path: Path, face: Image.Image) -> None:
    path = write(tmp_path, face)
    pd.read_csv(path).drop(columns=["mouth_left_x"]).to_csv(path, index=False)
    with pytest.raises(FacsimileError, match=r"faces\.csv: missing column mouth_left_x, needed"):
        read(path, Aligner())


@pytest.fixture
def model(face: Image.Image) -> Iterator[Callable[..., str]]:
    """Registers a landmark model; returns its name."""
    module = ModuleType("my_landmarks")

    def register(find: Callable[[np.ndarray], Any]) -> str:
        module.find = find
        return "my_landmarks:find"

    sys.modules["my_landmarks"] = module
    yield register
    del sys.modules["my_landmarks"]


def test_landmarks_of_a_model(tmp_path: Path, face: Image.Image, model: Callable[..., str]) -> None:
    path = write(tmp_path, face)
    _, points = place(face, 0, 1.5, 200, 180, 420, 360)
    seen = []

    def find(image: np.ndarray) -> np.ndarray | None:
        seen.append((image.shape, image.dtype))
        return None if not image.any() else np.insert(points, 2, 0, axis=0)

    images, rejects = read(path, Aligner(model(find)))
    assert seen == [((360, 420, 3), np.uint8)] * 4  # turned as the camera noted
    assert len(images) == 3 and similarity(images[2], images[0]) > 0.98
    (reject,) = rejects.to_table().to_pylist()
    assert reject["line"] == 5 and reject["value"] == "3.jpg"
    assert reject["reason"] == "has no face that my_landmarks:find can find"
    with pytest.raises(FacsimileError, match=r"line 5 .*: 3\.jpg has no face that my_landmarks"):
        read(path, Aligner("my_landmarks:find"), "raise")


def test_a_model_that_finds_all_faces(face: Image.Image, model: Callable[..., str]) -> None:
    picture, points = place(face, 0, 1.5, 200, 180, 420, 360)
    one = np.insert(points, 2, 0, axis=0)
    found = [one]
    aligner = Aligner(model(lambda image: np.array(found)))
    alone = aligner(picture, None, 64)
    np.testing.assert_array_equal(alone, align(picture, points, 64))
    found.append(np.array([300, 20]) + (one - one.mean(0)) / 2.1)
    np.testing.assert_array_equal(aligner(picture, None, 64), alone)
    found[1] = one + 5
    with pytest.raises(FacsimileError, match="shows 2 faces; crop it to one of them"):
        aligner(picture, None, 64)
    found.clear()
    with pytest.raises(FacsimileError, match="has no face that my_landmarks:find can find"):
        aligner(picture, None, 64)


def test_model_that_cannot_be_used(
    tmp_path: Path, face: Image.Image, model: Callable[..., str]
) -> None:
    with pytest.raises(FacsimileError, match="landmark model nowhere:f: No module named"):
        Aligner("nowhere:f")
    with pytest.raises(FacsimileError, match=r"landmark model io:find: module 'io' has no"):
        Aligner(f"{io.__name__}:find")
    name = model(lambda image: np.zeros((3, 2)))
    with pytest.raises(FacsimileError, match=r"0\.jpg cannot be aligned: .*\(3, 2\), not \(5, 2\)"):
        read(write(tmp_path, face), Aligner(name), "raise")
