"""The published tree of BP4D becomes faces; faults are reported with file, line and value."""

from pathlib import Path

import numpy as np
import pytest

from facsimile.datasets import recognise
from facsimile.errors import FacsimileError
from facsimile.faces.aus import AUS
from facsimile.faces.tables import decode_images

from .trees import (
    Harm,
    line,
    pixels,
    read,
    refused,
    write_bp4d,
    write_bp4d_intensities,
    write_image,
)

pytestmark = pytest.mark.filterwarnings("ignore:.*frames without AU codes")

CODES = "AUCoding/AU_OCC/F002_T1.csv"
TRACK = "AUCoding/AU_INT/AU12/F002_T1_AU12.csv"
IMAGES = Path("F002") / "T1"


def test_faces_of_bp4d(tmp_path: Path) -> None:
    root = write_bp4d(tmp_path)
    assert recognise(root) == "bp4d"
    with pytest.warns(UserWarning, match="12 frames without AU codes are skipped"):
        faces, rejects = read(root)
    assert len(rejects) == 0 and len(faces) == 24
    assert faces["sample_id"].tolist()[3:5] == ["mine/F001/T1/000006", "mine/F001/T2/000003"]
    assert faces["subject_id"].unique().tolist() == ["F001", "F002", "M001"]
    assert faces["male"].tolist() == [0.0] * 16 + [1.0] * 8
    assert faces["AU12"].tolist() == [0, 1] * 12
    assert faces["AU15"].isna().all()
    assert (faces[[au for au in AUS if au not in ("AU12", "AU15")]] == 0).all(axis=None)
    assert faces["au_presence_only"].all()
    assert set(faces["split"]) == {"train", "val", "test"}
    assert (faces.groupby("subject_id")["split"].nunique() == 1).all()


def test_intensities(tmp_path: Path) -> None:
    faces, rejects = read(write_bp4d_intensities(write_bp4d(tmp_path)))
    assert len(rejects) == 0
    np.testing.assert_allclose(faces["AU12"], [0, 0.6, np.nan, 1.0] * 6, rtol=1e-6)
    assert (faces["AU01"] == 0).all()


def test_folder_of_people_and_columns_that_are_there(tmp_path: Path) -> None:
    root = write_bp4d(tmp_path)
    (root / "BP4D-training").mkdir()
    for person in ("F001", "F002", "M001"):
        (root / person).rename(root / "BP4D-training" / person)
    for file in (root / "AUCoding" / "AU_OCC").iterdir():
        lines = file.read_text().splitlines()
        file.write_text("\n".join(",".join(content.split(",")[:13]) for content in lines))
    for image in list(root.rglob("*.jpg")):
        write_image(image.with_suffix(".png"), pixels(int(image.stem)))
        image.unlink()
    faces, _ = read(root)
    np.testing.assert_array_equal(decode_images(faces)[:4], [pixels(n) for n in range(3, 7)])
    assert faces["AU12"].tolist() == [0, 1] * 12 and faces["AU17"].isna().all()


def code(number: int, au: int, value: str) -> Harm:
    """Set the code of an AU in a line of ``CODES``."""

    def harm(root: Path) -> None:
        values = (root / CODES).read_text().splitlines()[number - 1].split(",")
        values[au] = value
        line(CODES, number, ",".join(values))(root)

    return harm


def remove(folder: Path) -> Harm:
    return lambda root: [file.unlink() for file in (root / folder).iterdir()]


WRONG = {
    "intensity for a code": (
        code(3, 4, "2"),
        (CODES, 3, "AU04", "2", "not one of 0, 1, 9"),
        [3, 5, 6],
    ),
    "no code": (code(3, 4, ""), (CODES, 3, "AU04", None, "not one of 0, 1, 9"), [3, 5, 6]),
    "no frame number": (
        code(3, 0, "four"),
        (CODES, 3, "frame", "four", "is not a frame number"),
        [3, 5, 6],
    ),
    "frame twice": (code(4, 0, "4"), (CODES, 4, "frame", "4", "out of order, after 4"), [3, 6]),
    "too few values": (
        line(CODES, 3, "4,0,1"),
        (CODES, 3, None, None, "has 3 values, the header 100"),
        [3, 5, 6],
    ),
    "no columns of AUs": (
        line(CODES, 1, "frame,smile"),
        (CODES, None, None, None, "has no column of an Action Unit"),
        [],
    ),
    "header alone": (
        lambda root: (root / CODES).write_text("0,1,2\n"),
        (CODES, None, None, None, "has no coded frame, for 6 frames"),
        [],
    ),
    "empty file": (
        lambda root: (root / CODES).write_bytes(b""),
        (CODES, None, None, None, "empty label file, for 6 frames"),
        [],
    ),
    "sequence without codes": (
        lambda root: (root / CODES).unlink(),
        (CODES, None, None, None, "no such label file, for 6 frames"),
        [],
    ),
    "sequence without images": (
        remove(IMAGES),
        (str(IMAGES), None, None, None, "no frames of F002_T1"),
        [],
    ),
    "other name": (
        lambda root: (root / CODES).rename(root / "AUCoding/AU_OCC/F002-1.csv"),
        ("AUCoding/AU_OCC/F002-1.csv", None, None, None, "not named like F001_T1.csv"),
        [],
    ),
    "no image": (
        lambda root: (root / IMAGES / "0004.jpg").unlink(),
        (CODES, 3, "frame", "4", "has no image in {root}/F002/T1"),
        [3, 5, 6],
    ),
    "not square": (
        lambda root: write_image(root / IMAGES / "0004.jpg", pixels(3, 6, 8)),
        (CODES, 3, "image", "{root}/F002/T1/0004.jpg", "is 8 × 6, but aligned faces are square"),
        [3, 5, 6],
    ),
    "intensity 6": (
        line(TRACK, 2, "4,6"),
        (TRACK, 2, "intensity", "6", "not one of 0, 1, 2, 3, 4, 5, 9"),
        [3, 5, 6],
    ),
    "no intensity": (
        line(TRACK, 2, ""),
        (TRACK, None, "frame", "4", "has no line, unlike F002_T1.csv"),
        [3, 5, 6],
    ),
    "no intensities": (
        lambda root: (root / TRACK).unlink(),
        (TRACK, None, None, None, "no such label file, for 6 frames"),
        [],
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong(tmp_path: Path, case: str) -> None:
    harm, expected, left = WRONG[case]
    root = write_bp4d_intensities(write_bp4d(tmp_path / "bp4d", ("F001", "F002", "M001", "M002")))
    kept = refused(root, harm, *expected)
    sequence = [name for name in kept if name.startswith("mine/F002/T1/")]
    assert sequence == [f"mine/F002/T1/{n:06d}" for n in left]
    assert len(kept) == 7 * 4 + len(left)


def test_sequence_in_two_folders(tmp_path: Path) -> None:
    root = write_bp4d(tmp_path)
    (root / "more" / "F001" / "T1").mkdir(parents=True)
    with pytest.raises(FacsimileError, match=r"more/F001/T1: F001_T1 is also in .*F001/T1"):
        read(root)


def test_frames_that_are_all_one_off(tmp_path: Path) -> None:
    def harm(root: Path) -> None:
        for n in (1, 2, 6):
            (root / IMAGES / f"{n:04d}.jpg").unlink()
        write_image(root / IMAGES / "0002.jpg", pixels(1))

    reason = "has 4 frames (2 to 5) for 4 labels (3 to 6): the numbers are off by one; rename"
    root = write_bp4d(tmp_path / "bp4d", ("F001", "F002", "M001", "M002"))
    assert len(refused(root, harm, str(IMAGES), None, None, None, reason)) == 28


def test_suffixes_that_are_not_read_are_named(tmp_path: Path) -> None:
    def harm(root: Path) -> None:
        for image in (root / IMAGES).iterdir():
            image.rename(image.with_suffix(".gif"))

    root = write_bp4d(tmp_path / "bp4d", ("F001", "F002", "M001", "M002"))
    refused(
        root,
        harm,
        str(IMAGES),
        None,
        None,
        None,
        "no frames of F002_T1, only .gif; supported: .bmp",
    )
