"""The published tree of DISFA+ becomes faces; faults are reported with file, line and value."""

from pathlib import Path

import numpy as np
import pytest

from facsimile.datasets import recognise
from facsimile.errors import FacsimileError
from facsimile.faces.aus import AUS
from facsimile.faces.tables import decode_images

from .trees import Harm, line, pixels, read, refused, write_disfa_plus, write_image

SESSION = Path("SN002") / "Y_Happy_TrailNo_2"
LABELS, IMAGES = Path("Labels") / SESSION, Path("Images") / SESSION
AU01, AU04 = str(LABELS / "AU1.txt"), str(LABELS / "AU4.txt")


def test_faces_of_disfa_plus(tmp_path: Path) -> None:
    root = write_disfa_plus(tmp_path)
    assert recognise(root) == "disfa-plus"
    faces, rejects = read(root)
    assert len(rejects) == 0 and len(faces) == 24
    assert faces["sample_id"].tolist()[3:5] == [
        "mine/SN001/A1_AU1_TrailNo_1/000003",
        "mine/SN001/Y_Happy_TrailNo_2/000000",
    ]
    assert faces["subject_id"].unique().tolist() == ["SN001", "SN002", "SN003"]
    np.testing.assert_allclose(faces["AU12"][:8], [0, 0.2, 0.4, 0.6] * 2, rtol=1e-6)
    assert (faces[[au for au in AUS if au != "AU12"]] == 0).all(axis=None)
    assert not faces["au_presence_only"].any()
    assert set(faces["split"]) == {"train", "val", "test"}
    assert (faces.groupby("subject_id")["split"].nunique() == 1).all()
    means = decode_images(faces)[:8].mean(axis=(1, 2, 3))
    np.testing.assert_allclose(means, [20, 21, 22, 23, 120, 121, 122, 123], atol=1)


def test_labels_without_header_and_png_frames(tmp_path: Path) -> None:
    root = write_disfa_plus(tmp_path)
    expected, _ = read(root)
    for file in (root / "Labels").rglob("*.txt"):
        file.write_text("\n".join(file.read_text().splitlines()[2:]))
    for image in list((root / "Images").rglob("*.jpg")):
        write_image(image.with_suffix(".png"), pixels(1))
        image.unlink()
    faces, _ = read(root)
    assert faces["AU12"].tolist() == expected["AU12"].tolist()
    assert (decode_images(faces) == pixels(1)).all()


def test_frames_that_are_all_one_off(tmp_path: Path) -> None:
    def harm(root: Path) -> None:
        for n in reversed(range(4)):
            (root / IMAGES / f"{n:03d}.jpg").rename(root / IMAGES / f"frame_{n + 1}.jpg")

    reason = "has 4 frames (1 to 4) for 4 labels (0 to 3): the numbers are off by one; rename"
    kept = refused(
        write_disfa_plus(tmp_path / "plus", subjects=4), harm, str(IMAGES), None, None, None, reason
    )
    assert len(kept) == 28


def remove(path: Path) -> Harm:
    def harm(root: Path) -> None:
        for file in (root / path).iterdir():
            file.unlink()
        (root / path).rmdir()

    return harm


WRONG = {
    "intensity 6": (
        line(AU04, 5, "002.jpg     6"),
        (AU04, 5, "intensity", "6", "not one of 0, 1, 2, 3, 4, 5"),
        [0, 1, 3],
    ),
    "no intensity": (
        line(AU04, 5, "002.jpg"),
        (AU04, 5, "intensity", None, "not one of 0, 1, 2, 3, 4, 5"),
        [0, 1, 3],
    ),
    "out of order": (
        line(AU04, 5, "001.jpg     0"),
        (AU04, 5, "frame", "001.jpg", "out of order, after 1"),
        [0, 3],
    ),
    "no image name": (
        line(AU04, 5, "two.jpg     0"),
        (AU04, 5, "frame", "two.jpg", "is not a frame number"),
        [0, 1, 3],
    ),
    "no label file": (
        lambda root: (root / AU04).unlink(),
        (AU04, None, None, None, "no such label file, for 4 frames"),
        [],
    ),
    "session without labels": (
        remove(LABELS),
        (
            str(LABELS),
            None,
            None,
            None,
            "no such folder, but found 4 frames in {root}/Images/SN002/Y_H",
        ),
        [],
    ),
    "session without images": (
        remove(IMAGES),
        (str(IMAGES), None, None, None, "no frames of Y_Happy_TrailNo_2"),
        [],
    ),
    "no image": (
        lambda root: (root / IMAGES / "003.jpg").unlink(),
        (AU01, 6, "frame", "3", "has no image in {root}/Images/SN002/Y_Happy_TrailNo_2"),
        [0, 1, 2],
    ),
    "not square": (
        lambda root: write_image(root / IMAGES / "003.jpg", pixels(3, 6, 8)),
        (
            AU01,
            6,
            "image",
            "{root}/" + f"{IMAGES}/003.jpg",
            "is 8 × 6, but aligned faces are square",
        ),
        [0, 1, 2],
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong(tmp_path: Path, case: str) -> None:
    harm, expected, left = WRONG[case]
    root = write_disfa_plus(tmp_path / "disfa-plus", subjects=4)
    kept = refused(root, harm, *expected)
    session = [name for name in kept if name.startswith(f"mine/{SESSION}/")]
    assert session == [f"mine/{SESSION}/{n:06d}" for n in left]
    assert len(kept) == 7 * 4 + len(left)


def test_no_images_at_all(tmp_path: Path) -> None:
    root = write_disfa_plus(tmp_path)
    (root / "Images").rename(root / "Pictures")
    with pytest.raises(FacsimileError, match="none of the layouts"):
        read(root)
