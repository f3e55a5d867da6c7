"""The published tree of DISFA becomes faces; faults are reported with file, line and value."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from facsimile.datasets import recognise
from facsimile.errors import FacsimileError
from facsimile.faces.aus import AUS
from facsimile.faces.tables import decode_images

from .trees import pixels, png, read, refused, shade, write_disfa, write_image

SUBJECT = "SN002"
LABELS = Path("ActionUnit_Labels") / SUBJECT
IMAGES = Path("Images") / SUBJECT


def test_faces_of_disfa(tmp_path: Path) -> None:
    root = write_disfa(tmp_path, frames=6)
    assert recognise(root) == "disfa"
    faces, rejects = read(root)
    assert len(rejects) == 0 and len(faces) == 18
    assert faces["sample_id"].tolist()[5:7] == ["mine/SN001/000006", "mine/SN002/000001"]
    assert faces["subject_id"].unique().tolist() == ["SN001", "SN002", "SN003"]
    np.testing.assert_allclose(faces["AU12"][:6], [0, 0.2, 0.4, 0.6, 0.8, 1.0], rtol=1e-6)
    assert (faces[[au for au in AUS if au != "AU12"]] == 0).all(axis=None)
    assert set(faces["split"]) == {"train", "val", "test"}
    assert (faces.groupby("subject_id")["split"].nunique() == 1).all()
    np.testing.assert_array_equal(
        decode_images(faces)[:7], [pixels(n) for n in (*range(101, 107), 201)]
    )


def rename(root: Path, folder: str, frame: Callable[[int], str]) -> None:
    for images in list((root / "Images").iterdir()):
        for image in sorted(images.iterdir(), key=lambda path: int(path.stem)):
            image.rename(images / f"new-{frame(int(image.stem))}")
        for image in images.iterdir():
            image.rename(images / image.name.removeprefix("new-"))
        images.rename(root / "Images" / folder.format(images.name))


@pytest.mark.parametrize(
    ("folder", "frame"),
    [
        ("{}", lambda n: f"{n:05d}.png"),
        ("{}", lambda n: f"{n - 1}.png"),
        ("LeftVideo{}_comp", lambda n: f"LeftVideo_comp_{n:04d}.png"),
    ],
    ids=["zeros", "from 0", "as the video"],
)
def test_names_of_frames(tmp_path: Path, folder: str, frame: Callable[[int], str]) -> None:
    root = write_disfa(tmp_path, frames=12)
    expected = decode_images(read(root)[0])
    rename(root, folder, frame)
    np.testing.assert_array_equal(decode_images(read(root)[0]), expected)


def renumber(folder: Path, first: int, kept: Sequence[int]) -> None:
    """Number frames 1, 2, … of a person from `first`, and keep some of them."""
    for image in sorted(folder.iterdir(), reverse=first == 1):
        number = int(image.stem)
        if number in kept:
            image.rename(folder / f"frame_{number - 1 + first:06d}.png")
        else:
            image.unlink()


def test_each_person_has_a_numbering_of_their_own(tmp_path: Path) -> None:
    root = write_disfa(tmp_path, frames=6)
    expected = read(root)[0].set_index("sample_id")
    renumber(root / "Images" / "SN001", 0, range(1, 7))
    renumber(root / "Images" / "SN002", 1, range(2, 7))  # the first one is missing
    renumber(root / "Images" / "SN003", 0, range(1, 6))
    faces = read(root, "skip")[0].set_index("sample_id")
    assert len(faces) == 16
    assert (faces["image"].map(lambda image: image["bytes"])).equals(
        expected["image"].map(lambda image: image["bytes"]).loc[faces.index]
    )


@pytest.mark.parametrize("first", [0, 1])
def test_ambiguous_numbering_is_reported_or_refused(tmp_path: Path, first: int) -> None:
    root = write_disfa(tmp_path, subjects=4, frames=6)
    # 1 to 5 of labels 1 to 6 in both cases.
    renumber(root / IMAGES, first, range(2, 7) if first == 0 else range(1, 6))
    renumber(root / "Images" / "SN003", 0, range(1, 7))
    expected = f"{root}/Images/SN002: has 5 frames (1 to 5) for 6 labels (1 to 6): it is not "
    with pytest.raises(FacsimileError) as caught:
        read(root)
    assert str(caught.value).startswith(expected)
    assert str(caught.value).endswith("; set first_frame: 0 or 1 under ingest.paths.mine")
    faces, rejects = read(root, "skip")
    assert len(rejects) == 1 and len(faces) == 18 and SUBJECT not in set(faces["subject_id"])

    faces, _ = read(root, "skip", options={"first_frame": first})
    images = decode_images(faces[faces["subject_id"] == SUBJECT])
    numbers = range(2, 7) if first == 0 else range(1, 6)
    np.testing.assert_array_equal(images, [pixels(200 + n) for n in numbers])
    ids = faces.loc[faces["subject_id"] == SUBJECT, "sample_id"].str[-1].astype(int)
    assert ids.tolist() == list(numbers)
    assert (faces["subject_id"] == "SN003").sum() == 6, "who shows it is not asked"


@pytest.mark.parametrize("suffix", [".bmp", ".BMP", ".webp", ".tif", ".TIFF", ".jpeg"])
def test_frames_in_other_formats(tmp_path: Path, suffix: str) -> None:
    root = write_disfa(tmp_path)
    for image in list((root / IMAGES).iterdir()):
        with Image.open(image) as picture:
            options = {"lossless": True} if suffix == ".webp" else {}
            picture.save(image.with_name(f"frame_det_00_{int(image.stem):06d}{suffix}"), **options)
        image.unlink()
    (root / IMAGES / "._frame_det_00_000001.png").write_bytes(b"left by a file system")
    faces, _ = read(root)
    assert len(faces) == 12


def test_suffixes_that_are_not_read_are_named(tmp_path: Path) -> None:
    def harm(root: Path) -> None:
        for n, suffix in enumerate((".gif", ".hdf5", ".png.part", "")):
            (root / IMAGES / f"{n + 1}.png").rename(root / IMAGES / f"{n + 1}{suffix}")

    root = write_disfa(tmp_path / "disfa", subjects=4)
    reason = "no frames of SN002, only .gif, .hdf5, .part, 4; supported: .bmp, .jpg, .jpeg, .png, "
    refused(root, harm, str(IMAGES), None, None, None, reason)


def test_jpeg_frames_and_other_files(tmp_path: Path) -> None:
    root = write_disfa(tmp_path)
    (root / IMAGES / "2.png").unlink()
    write_image(root / IMAGES / "2.JPG", shade(50))
    (root / IMAGES / "Thumbs.db").write_bytes(b"")
    (root / "ActionUnit_Labels" / ".DS_Store").write_bytes(b"")
    faces, _ = read(root)
    assert len(faces) == 12 and np.abs(decode_images(faces)[5].astype(int) - shade(50)).max() <= 1


def labels(au: int, change: Callable[[list[str]], None]) -> Callable[[Path], None]:
    """Change the lines of a label file of SN002."""

    def harm(root: Path) -> None:
        file = root / LABELS / f"{SUBJECT}_au{au}.txt"
        lines = file.read_text().splitlines()
        change(lines)
        file.write_text("\n".join(lines))

    return harm


def line(au: int, number: int, content: str) -> Callable[[Path], None]:
    return labels(au, lambda lines: lines.__setitem__(number - 1, content))


def no_labels(root: Path) -> None:
    for file in (root / LABELS).iterdir():
        file.unlink()
    (root / LABELS).rmdir()


def no_images(root: Path) -> None:
    for file in (root / IMAGES).iterdir():
        file.unlink()
    (root / IMAGES).rmdir()


AU04, AU01 = str(LABELS / f"{SUBJECT}_au4.txt"), str(LABELS / f"{SUBJECT}_au1.txt")

# what is done → file, line, column, value and reason of each reject, and frames of SN002 that stay
WRONG = {
    "intensity 6": (
        line(4, 2, "2,6"),
        [(AU04, 2, "intensity", "6", "not one of 0, 1, 2, 3, 4, 5")],
        [1, 3, 4],
    ),
    "negative intensity": (
        line(4, 2, "2,-1"),
        [(AU04, 2, "intensity", "-1", "not one of 0, 1, 2, 3, 4, 5")],
        [1, 3, 4],
    ),
    "text for an intensity": (
        line(4, 2, "2,B"),
        [(AU04, 2, "intensity", "B", "not one of 0, 1, 2, 3, 4, 5")],
        [1, 3, 4],
    ),
    "no intensity": (
        line(4, 2, "2"),
        [(AU04, 2, "intensity", None, "not one of 0, 1, 2, 3, 4, 5")],
        [1, 3, 4],
    ),
    "no frame number": (
        line(4, 2, "two,0"),
        [
            (AU04, 2, "frame", "two", "is not a frame number"),
            (AU04, None, "frame", "2", "has no line, unlike SN002_au1.txt"),
        ],
        [1, 3, 4],
    ),
    "out of order": (
        labels(4, lambda lines: lines.insert(1, lines.pop(2))),
        [(AU04, 3, "frame", "2", "out of order, after 3")],
        [1, 3, 4],
    ),
    "frame twice": (
        labels(4, lambda lines: lines.insert(2, "2,0")),
        [(AU04, 3, "frame", "2", "out of order, after 2")],
        [1, 3, 4],
    ),
    "a line too few": (
        labels(4, lambda lines: lines.pop()),
        [(AU04, None, "frame", "4", "has no line, unlike SN002_au1.txt")],
        [1, 2, 3],
    ),
    "a line too many": (
        labels(4, lambda lines: lines.append("5,0")),
        [(AU04, 5, "frame", "5", "has no line in SN002_au1.txt")],
        [1, 2, 3, 4],
    ),
    "no label file": (
        lambda root: (root / AU04).unlink(),
        [(AU04, None, None, None, "no such label file, for 4 frames")],
        [],
    ),
    "empty label file": (
        lambda root: (root / AU04).write_bytes(b""),
        [(AU04, None, None, None, "empty label file, for 4 frames")],
        [],
    ),
    "subject without labels": (
        no_labels,
        [
            (
                str(LABELS),
                None,
                None,
                None,
                "no such folder, but found 4 frames in {root}/Images/SN002",
            )
        ],
        [],
    ),
    "subject without images": (
        no_images,
        [(str(IMAGES), None, None, None, "no frames of SN002")],
        [],
    ),
    "no image": (
        lambda root: (root / IMAGES / "3.png").unlink(),
        [(AU01, 3, "frame", "3", "has no image in {root}/Images/SN002")],
        [1, 2, 4],
    ),
    "image without label": (
        lambda root: write_image(root / IMAGES / "5.png", pixels(5)),
        [(str(IMAGES / "5.png"), None, None, None, "has no label for frame 5")],
        [1, 2, 3, 4],
    ),
    "frame in two images": (
        lambda root: write_image(root / IMAGES / "3.jpg", pixels(5)),
        [(str(IMAGES / "3.png"), None, None, None, "has the same frame number 3 as 3.jpg")],
        [1, 2, 3, 4],
    ),
    "image without number": (
        lambda root: write_image(root / IMAGES / "neutral.png", pixels(5)),
        [(str(IMAGES / "neutral.png"), None, None, None, "has no frame number")],
        [1, 2, 3, 4],
    ),
    "zero bytes": (
        lambda root: (root / IMAGES / "3.png").write_bytes(b""),
        [(AU01, 3, "image", "{root}/Images/SN002/3.png", "is empty")],
        [1, 2, 4],
    ),
    "truncated image": (
        lambda root: (root / IMAGES / "3.png").write_bytes(png(pixels(3))[:120]),
        [
            (
                AU01,
                3,
                "image",
                "{root}/Images/SN002/3.png",
                "is unreadable (image file is truncated)",
            )
        ],
        [1, 2, 4],
    ),
    "frame of the video as it is": (
        lambda root: write_image(root / IMAGES / "3.png", pixels(3, 6, 8)),
        [
            (
                AU01,
                3,
                "image",
                "{root}/Images/SN002/3.png",
                "is 8 × 6, but aligned faces are square",
            )
        ],
        [1, 2, 4],
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong(tmp_path: Path, case: str) -> None:
    harm, expected, left = WRONG[case]
    root = write_disfa(tmp_path / "disfa", subjects=4)
    harm(root)
    expected = [
        (
            str(root / file),
            number,
            column,
            value and value.format(root=root),
            reason.format(root=root),
        )
        for file, number, column, value, reason in expected
    ]
    with pytest.raises(FacsimileError) as caught:
        read(root)
    file, number, column, value, reason = expected[0]
    message = str(caught.value)
    assert message.startswith(file if number is None else f"{file}: line {number}")
    assert column is None or f" column {column}: " in message
    assert (reason if value is None else f"{value} {reason}") in message

    faces, rejects = read(root, "skip")
    assert [tuple(row.values()) for row in rejects.to_table().to_pylist()] == expected
    others = [(subject, n) for subject in ("SN001", "SN003", "SN004") for n in range(1, 5)]
    kept = sorted([*others, *((SUBJECT, n) for n in left)])
    assert faces["sample_id"].tolist() == [f"mine/{subject}/{n:06d}" for subject, n in kept]


def test_no_frames_at_all(tmp_path: Path) -> None:
    root = write_disfa(tmp_path)
    (root / "Images").rename(root / "Frames")
    with pytest.raises(FacsimileError, match="Videos_LeftCamera: no such folder, and no Images"):
        read(root)


def test_two_cameras(tmp_path: Path) -> None:
    root = write_disfa(tmp_path)
    (root / "Images" / "RightVideoSN002_comp").mkdir()
    with pytest.raises(FacsimileError, match="SN002: SN002 is also in RightVideoSN002_comp"):
        read(root)
