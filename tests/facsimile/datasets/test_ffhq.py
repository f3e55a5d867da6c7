"""The published tree of FFHQ becomes faces; faults are reported with file, label and value."""

import json
from pathlib import Path

import numpy as np
import pytest

from facsimile.datasets import ADAPTERS, Rejects, recognise
from facsimile.errors import FacsimileError
from facsimile.faces.aus import AUS, NUISANCES
from facsimile.faces.tables import decode_images

from .trees import Harm, pixels, read, refused, write_ffhq, write_image

IMAGE, LABELS = "thumbnails128x128/00000/00002.png", "json/00002.json"


def test_faces_of_ffhq(tmp_path: Path) -> None:
    root = write_ffhq(tmp_path)
    assert recognise(root) == "ffhq"
    faces, rejects = read(root)
    assert len(rejects) == 0
    assert faces["sample_id"].tolist() == [f"mine/{n:05d}" for n in range(6)]
    assert faces["subject_id"].tolist() == [f"ffhq-{n:05d}" for n in range(6)]
    assert set(faces["split"]) == {"train", "val", "test"}
    nan = np.nan
    np.testing.assert_allclose(faces["eyeglasses"], [0, 1, 0, 0, nan, 0])
    np.testing.assert_allclose(faces["beard"], [0.2, 0.2, 0.2, 0.3, nan, 0.5], rtol=1e-6)
    np.testing.assert_allclose(faces["male"], [0, 1, 0, 1, nan, 1])
    np.testing.assert_allclose(faces["age"], [0, 12 / 62, 32 / 62, 52 / 62, nan, 1], rtol=1e-6)
    assert faces[list(AUS)].isna().all(axis=None)
    np.testing.assert_array_equal(decode_images(faces), [pixels(n) for n in range(6)])


def test_without_labels_and_large_images_first(tmp_path: Path) -> None:
    root = write_ffhq(tmp_path)
    (root / "json").rename(root / "labels")
    (root / "thumbnails128x128").rename(root / "images1024x1024")
    (root / "thumbnails128x128").mkdir()
    faces, _ = read(root)
    assert len(faces) == 6 and faces[list(NUISANCES)].isna().all(axis=None)


def test_labels_in_a_folder(tmp_path: Path) -> None:
    root = write_ffhq(tmp_path)
    (root / "ffhq-features-dataset").mkdir()
    (root / "json").rename(root / "ffhq-features-dataset" / "json")
    assert read(root)[0]["male"].notna().sum() == 5


def label(name: str, value: object) -> Harm:
    """Set a label of ``LABELS``."""

    def harm(root: Path) -> None:
        faces = json.loads((root / LABELS).read_text())
        attributes = faces[0]["faceAttributes"]
        (attributes["facialHair"] if name in attributes["facialHair"] else attributes)[name] = value
        (root / LABELS).write_text(json.dumps(faces))

    return harm


WRONG = {
    "gender": (label("gender", "x"), (LABELS, None, "gender", "x", "not one of female, male")),
    "beard": (label("beard", 1.5), (LABELS, None, "beard", "1.5", "outside [0, 1]")),
    "age": (label("age", -3), (LABELS, None, "age", "-3", "not an age")),
    "text for an age": (label("age", "old"), (LABELS, None, "age", "old", "not a number")),
    "glasses": (label("glasses", None), (LABELS, None, "glasses", "None", "not text")),
    "no attributes": (
        lambda root: (root / LABELS).write_text('[{"faceId": 1}]'),
        (LABELS, None, None, None, "does not have the published label format (KeyError("),
    ),
    "no JSON": (
        lambda root: (root / LABELS).write_text("[\n{,"),
        (LABELS, 2, None, None, "not readable as JSON ("),
    ),
    "no labels": (
        lambda root: (root / LABELS).unlink(),
        (
            LABELS,
            None,
            None,
            None,
            "no such file, needed for {root}/thumbnails128x128/00000/00002.png",
        ),
    ),
    "truncated": (
        lambda root: (root / IMAGE).write_bytes((root / IMAGE).read_bytes()[:60]),
        (IMAGE, None, "image", f"{{root}}/{IMAGE}", "is unreadable ("),
    ),
    "not square": (
        lambda root: write_image(root / IMAGE, pixels(2, 6, 8)),
        (IMAGE, None, "image", f"{{root}}/{IMAGE}", "is 8 × 6, but aligned faces are square"),
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong(tmp_path: Path, case: str) -> None:
    harm, expected = WRONG[case]
    kept = refused(write_ffhq(tmp_path), harm, *expected)
    assert kept == [f"mine/{n:05d}" for n in (0, 1, 3, 4, 5)]


def test_image_twice(tmp_path: Path) -> None:
    def harm(root: Path) -> None:
        write_image(root / "thumbnails128x128" / "01000" / "00002.png", pixels(9))

    place = "thumbnails128x128/01000/00002.png"
    reason = f"has the same name as {{root}}/{IMAGE}"
    assert len(refused(write_ffhq(tmp_path), harm, place, None, None, None, reason)) == 6


def test_no_images(tmp_path: Path) -> None:
    with pytest.raises(FacsimileError, match="no folder images1024x1024 or thumbnails128x128"):
        ADAPTERS["ffhq"].open(tmp_path, "mine", 0, Rejects())


def test_images_in_other_formats(tmp_path: Path) -> None:
    root = write_ffhq(tmp_path)
    for image in list((root / "thumbnails128x128").rglob("*.png")):
        image.rename(image.with_suffix(".gif"))
    with pytest.raises(
        FacsimileError, match=r"thumbnails128x128: no images, only \.gif; supported: \.bmp"
    ):
        read(root)
    for n in range(6):
        write_image(root / "thumbnails128x128" / f"{n:05d}.webp", pixels(n))
    assert len(read(root)[0]) == 6
