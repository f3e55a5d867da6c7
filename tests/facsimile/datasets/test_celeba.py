"""The published tree of CelebA becomes faces; faults are reported with file, line and value."""

from pathlib import Path

import pytest

from facsimile.datasets import ADAPTERS, Rejects, recognise
from facsimile.errors import FacsimileError
from facsimile.faces.aus import AUS

from .trees import Harm, line, pixels, read, refused, write_celeba, write_image

ATTRIBUTES, IDENTITIES = "list_attr_celeba.txt", "identity_CelebA.txt"
PARTITION, IMAGES = "list_eval_partition.txt", Path("img_align_celeba")


def test_faces_of_celeba(tmp_path: Path) -> None:
    root = write_celeba(tmp_path)
    assert recognise(root) == "celeba"
    faces, rejects = read(root)
    assert len(rejects) == 0
    assert faces["sample_id"].tolist() == [f"mine/{n:06d}" for n in range(1, 7)]
    people = ["celeba-2880", "celeba-17", "celeba-9000"]
    assert faces["subject_id"].tolist() == [name for name in people for _ in range(2)]
    assert faces["split"].tolist() == ["train", "train", "val", "val", "test", "test"]
    assert faces["eyeglasses"].tolist() == [0, 1, 0, 0, 0, 1]
    assert faces["beard"].tolist() == [0, 1, 1, 1, 0, 0]
    assert faces["male"].tolist() == [1, 1, 1, 1, 0, 0]
    assert faces["age"].tolist() == [0, 1, 0, 0, 0, 1]
    assert faces[list(AUS)].isna().all(axis=None)


def test_folders_as_published(tmp_path: Path) -> None:
    root = write_celeba(tmp_path)
    expected, _ = read(root)
    for name, folder in {
        ATTRIBUTES: "Anno",
        IDENTITIES: "Anno",
        PARTITION: "Eval",
        IMAGES: "Img",
    }.items():
        (root / folder).mkdir(exist_ok=True)
        (root / name).rename(root / folder / name)
    faces, _ = read(root)
    assert recognise(root) == "celeba" and faces.equals(expected)


def test_without_identities_or_partition(tmp_path: Path) -> None:
    root = write_celeba(tmp_path)
    (root / PARTITION).unlink()
    faces, _ = read(root)
    assert (faces.groupby("subject_id")["split"].nunique() == 1).all()
    assert set(faces["split"]) == {"train", "val", "test"}
    (root / IDENTITIES).unlink()
    with pytest.warns(
        UserWarning, match=r"no identity_CelebA\.txt, so each image counts as a person"
    ):
        faces, _ = read(root)
    assert faces["subject_id"].tolist() == [f"celeba-{n:06d}" for n in range(1, 7)]


def test_images_that_are_not_listed(tmp_path: Path) -> None:
    root = write_celeba(tmp_path)
    write_image(root / IMAGES / "000009.jpg", pixels(9))
    with pytest.warns(
        UserWarning, match=r"1 files not listed in list_attr_celeba\.txt are skipped"
    ):
        assert len(read(root)[0]) == 6


def drop(file: str, number: int) -> Harm:
    return line(file, number, "")


ATTRIBUTES_OF_2 = "000002.jpg  1  1 -1  1 -1 -1 -1"

WRONG = {
    "attribute 0": (
        line(ATTRIBUTES, 4, ATTRIBUTES_OF_2.replace("1  1 -1", "1  0 -1", 1)),
        (ATTRIBUTES, 4, "Eyeglasses", "0", "not −1 or 1"),
    ),
    "too few attributes": (
        line(ATTRIBUTES, 4, "000002.jpg 1 1"),
        (ATTRIBUTES, 4, None, None, "has 2 attributes, the header 7"),
    ),
    "image twice": (
        line(ATTRIBUTES, 4, ATTRIBUTES_OF_2.replace("000002", "000001")),
        (ATTRIBUTES, 4, "image", "000001.jpg", "is a duplicate of line 3"),
    ),
    "line lost": (drop(ATTRIBUTES, 4), (ATTRIBUTES, 1, "images", "6", "does not match the number")),
    "identity that is no number": (
        line(IDENTITIES, 2, "000002.jpg anna"),
        (IDENTITIES, 2, "identity", "anna", "not a whole number"),
    ),
    "no identity": (
        drop(IDENTITIES, 2),
        (ATTRIBUTES, 4, "image", "000002.jpg", "has no line in identity_CelebA.txt"),
    ),
    "partition 3": (
        line(PARTITION, 2, "000002.jpg 3"),
        (PARTITION, 2, "partition", "3", "not one of 0, 1, 2"),
    ),
    "no partition": (
        line(PARTITION, 2, "000002.jpg"),
        (PARTITION, 2, "partition", None, "not one of 0, 1, 2"),
    ),
    "person in two splits": (
        line(PARTITION, 2, "000002.jpg 2"),
        (ATTRIBUTES, 4, "subject_id", "celeba-2880", "is in splits test and train"),
    ),
    "no image": (
        lambda root: (root / IMAGES / "000002.jpg").unlink(),
        (ATTRIBUTES, 4, "image_path", "{root}/img_align_celeba/000002.jpg", "is not a file"),
    ),
    "image as published": (
        lambda root: write_image(root / IMAGES / "000002.jpg", pixels(2, 218, 178)),
        (
            ATTRIBUTES,
            4,
            "image",
            "{root}/img_align_celeba/000002.jpg",
            "is 178 × 218, but aligned faces are square",
        ),
    ),
}


@pytest.mark.filterwarnings("ignore:.*not listed in .* are skipped")
@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong(tmp_path: Path, case: str) -> None:
    harm, expected = WRONG[case]
    kept = refused(write_celeba(tmp_path), harm, *expected)
    assert kept == [f"mine/{n:06d}" for n in (1, 3, 4, 5, 6)]


def test_no_such_attribute(tmp_path: Path) -> None:
    root = write_celeba(tmp_path)
    line(ATTRIBUTES, 2, "Eyeglasses Goatee")(root)
    with pytest.raises(FacsimileError, match=r"celeba\.txt: line 2: missing attribute No_Beard"):
        read(root, "skip")


def test_no_images_or_attributes(tmp_path: Path) -> None:
    root = write_celeba(tmp_path)
    (root / IMAGES).rename(root / "images")
    with pytest.raises(FacsimileError, match="no img_align_celeba in it or its subfolders"):
        read(root)
    (root / ATTRIBUTES).unlink()
    with pytest.raises(FacsimileError, match=r"no list_attr_celeba\.txt in it or its subfolders"):
        ADAPTERS["celeba"].open(root, "mine", 0, Rejects())
