"""The published tree of FEAFA becomes faces; faults are reported with file, line and value."""

import os
from pathlib import Path

import numpy as np
import pytest

from facsimile.datasets import ADAPTERS, Rejects, recognise
from facsimile.datasets.feafa import COUNTERPARTS, MOVEMENTS
from facsimile.errors import FacsimileError
from facsimile.faces.aus import AUS
from facsimile.faces.tables import decode_images

from .trees import Harm, pixels, read, refused, write_feafa, write_image

FOLDER = Path("FEAFA-A") / "PV002.output"
LABEL, IMAGE = str(FOLDER / "00000002.auw"), str(FOLDER / "00000002.jpg")


def test_faces_of_feafa(tmp_path: Path) -> None:
    root = write_feafa(tmp_path)
    assert recognise(root) == "feafa"
    faces, rejects = read(root)
    assert len(rejects) == 0 and len(faces) == 9
    assert faces["sample_id"].tolist()[2:4] == [
        "mine/FEAFA-A/PV001.output/00000003",
        "mine/FEAFA-A/PV002.output/00000001",
    ]
    assert faces["subject_id"].unique().tolist() == ["PV001", "PV002", "PV003"]
    # Left before right, so that the right side is the stronger one here.
    numbers = {"AU02": 8, "AU04": 6, "AU09": 24, "AU12": 13, "AU17": 21, "AU20": 15, "AU26": 9}
    for au in AUS:
        expected = [(numbers[au] + n) / 100 for n in (1, 2, 3)] if au in numbers else [np.nan] * 3
        np.testing.assert_allclose(faces[au][:3], expected, rtol=1e-6)
    assert not faces["au_presence_only"].any()
    assert set(faces["split"]) == {"train", "val", "test"}
    assert (faces.groupby("subject_id")["split"].nunique() == 1).all()


def test_counterparts() -> None:
    assert len(set(MOVEMENTS)) == 24 and set(COUNTERPARTS) <= set(AUS)
    assert {name for names in COUNTERPARTS.values() for name in names} <= set(MOVEMENTS)


def test_the_stronger_side_counts(tmp_path: Path) -> None:
    root = write_feafa(tmp_path)
    (root / LABEL).write_text("\n".join("0.7" if m == 11 else "0" for m in range(24)))
    faces, _ = read(root)
    assert faces["AU12"][4] == pytest.approx(0.7) and faces["AU20"][4] == 0


def test_images_above_and_without_label(tmp_path: Path) -> None:
    root = write_feafa(tmp_path)
    for image in list(root.rglob("*.jpg")):
        write_image(
            image.parent.with_suffix("") / image.with_suffix(".png").name, pixels(int(image.stem))
        )
        image.unlink()
    for folder in list(root.glob("*/*.output")):
        folder.rename(folder.with_suffix("") / "labels")
    write_image(root / "FEAFA-A" / "PV001" / "00000009.png", pixels(9))
    with pytest.warns(UserWarning, match="1 images without a label are skipped"):
        faces, _ = read(root)
    assert faces["sample_id"][0] == "mine/FEAFA-A/PV001/labels/00000001"
    np.testing.assert_array_equal(decode_images(faces)[:3], [pixels(n) for n in (1, 2, 3)])


def value(movement: int, text: str) -> Harm:
    """Set a number, counted from 1, of ``LABEL``."""

    def harm(root: Path) -> None:
        values = (root / LABEL).read_text().split()
        values[movement - 1] = text
        (root / LABEL).write_text(" ".join(values))

    return harm


WRONG = {
    "above 1": (value(12, "1.5"), (LABEL, 1, "left lip corner pull", "1.5", "outside [0, 1]")),
    "below 0": (value(24, "-0.1"), (LABEL, 1, "nose wrinkle", "-0.1", "outside [0, 1]")),
    "text": (value(9, "wide"), (LABEL, 1, "jaw drop", "wide", "not a number")),
    "nan": (value(9, "nan"), (LABEL, 1, "jaw drop", "nan", "not a number")),
    "text without counterpart": (
        value(1, "x"),
        (LABEL, 1, "left eye close", "x", "not a number"),
    ),
    "too few values": (value(1, ""), (LABEL, None, None, None, "has 23 values, not 24")),
    "empty": (
        lambda root: (root / LABEL).write_bytes(b""),
        (LABEL, None, None, None, "has 0 values, not 24"),
    ),
    "no image": (
        lambda root: (root / IMAGE).unlink(),
        (LABEL, None, None, None, "has no image beside it or in {root}/FEAFA-A"),
    ),
    "zero bytes": (
        lambda root: (root / IMAGE).write_bytes(b""),
        (LABEL, 1, "image", f"{{root}}/{IMAGE}", "is empty"),
    ),
    "not square": (
        lambda root: write_image(root / IMAGE, pixels(2, 6, 8)),
        (LABEL, 1, "image", f"{{root}}/{IMAGE}", "is 8 × 6, but aligned faces are square"),
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong(tmp_path: Path, case: str) -> None:
    harm, expected = WRONG[case]
    kept = refused(write_feafa(tmp_path / "feafa", sequences=4), harm, *expected)
    assert len(kept) == 11 and "mine/FEAFA-A/PV002.output/00000002" not in kept


def test_folder_without_sequence(tmp_path: Path) -> None:
    def harm(root: Path) -> None:
        (root / FOLDER).rename(root / "FEAFA-A" / "second")

    place = "FEAFA-A/second/00000001.auw"
    reason = "is not in a folder named after a sequence"
    kept = refused(
        write_feafa(tmp_path / "feafa", sequences=4), harm, place, None, None, None, reason
    )
    assert len(kept) == 9


def test_no_labels(tmp_path: Path) -> None:
    with pytest.raises(FacsimileError, match=r"no \*\.auw files"):
        ADAPTERS["feafa"].open(tmp_path, "mine", 0, Rejects())


def test_images_that_are_all_one_off(tmp_path: Path) -> None:
    def harm(root: Path) -> None:
        for n in (1, 2, 3):
            (root / FOLDER / f"{n:08d}.jpg").rename(root / FOLDER / f"{n - 1:08d}.jpg")

    root = write_feafa(tmp_path / "feafa", sequences=4)
    reason = "has 3 frames (0 to 2) for 3 labels (1 to 3): the numbers are off by one; rename"
    with pytest.warns(UserWarning, match="images without a label"):
        kept = refused(root, harm, str(FOLDER), None, None, None, reason)
    assert len(kept) == 9


def test_two_images_of_a_label_and_a_pipe(tmp_path: Path) -> None:
    root = write_feafa(tmp_path / "feafa", sequences=4)
    write_image((root / IMAGE).with_suffix(".png"), pixels(9))
    with pytest.raises(FacsimileError, match=r"00000002\.png: has the same name as 00000002\.jpg"):
        read(root)
    (root / IMAGE).with_suffix(".png").unlink()
    (root / LABEL).unlink()
    os.mkfifo(root / LABEL)
    with pytest.raises(FacsimileError, match=r"00000002\.auw: is not a file"):
        read(root)
