"""A CSV of image paths becomes faces, or is refused with line, column and value."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from facsimile.datasets import recognise
from facsimile.errors import FacsimileError
from facsimile.faces.tables import decode_images

from .trees import HEADER, LINES, SIZE, pixels, png, read, write_csv, write_image


def test_faces_of_a_csv(tmp_path: Path) -> None:
    faces, rejects = read(write_csv(tmp_path))
    assert len(rejects) == 0
    assert faces["sample_id"].tolist() == [f"mine/img/{n}" for n in range(6)]
    assert faces["subject_id"].tolist() == ["a", "a", "b", "b", "c", "c"]
    assert faces["split"].tolist() == ["train", "train", "val", "val", "test", "test"]
    np.testing.assert_allclose(faces["AU04"], [0, 0.5, 1, 0, 0, 0.2], rtol=1e-6)
    assert faces["AU12"].isna().tolist() == [False, True, False, False, False, False]
    assert faces["AU01"].isna().all() and not faces["au_presence_only"].any()
    assert set(faces["dataset"]) == {"mine"} and set(faces["origin"]) == {"real"}
    np.testing.assert_array_equal(decode_images(faces), [pixels(seed) for seed in range(6)])


@pytest.mark.parametrize(
    "change",
    [
        lambda text: b"\xef\xbb\xbf" + text,
        lambda text: text.replace(b"\n", b"\r\n"),
        lambda text: text.replace(b"\n", b"\n\n") + b",,,,\n",
        lambda text: text.replace(b"img/0.png,a", b'"img/0.png", a'),
        lambda text: text.replace(b"img/0.png", b"./img/../img/0.png"),
        lambda text: text.rstrip(b"\n"),
    ],
    ids=["BOM", "CRLF", "blank lines", "quotes and spaces", "detour", "no end of line"],
)
def test_ways_to_write_a_csv(tmp_path: Path, change: Callable[[bytes], bytes]) -> None:
    path = write_csv(tmp_path)
    expected, _ = read(path)
    path.write_bytes(change(path.read_bytes()))
    pd.testing.assert_frame_equal(read(path)[0], expected)


def test_unicode_and_absolute_paths(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "Gesichter ü")
    write_image(tmp_path / "Gesichter ü" / "笑顔" / "été 1.png", pixels(7))
    outside = write_image(tmp_path / "elsewhere" / "8.png", pixels(8))
    inside = path.parent / "img" / "2.png"
    lines = (
        LINES[0].replace("img/0.png", "笑顔/été 1.png"),
        LINES[2].replace("img/2.png", str(inside)),
        LINES[4].replace("img/4.png", str(outside)),
        LINES[5].replace("img/5.png", "../elsewhere/8.png"),
    )
    path.write_text("\n".join((HEADER, *lines)), "utf-8")
    faces, _ = read(path)
    whole = str(outside.with_suffix(""))
    ids = ["mine/笑顔/été 1", "mine/img/2", f"mine{whole}", "mine/elsewhere/8"]
    assert faces["sample_id"].tolist() == ids
    np.testing.assert_array_equal(decode_images(faces), [pixels(seed) for seed in (7, 2, 8, 8)])


def test_all_columns_there_are(tmp_path: Path) -> None:
    header = "sample_id,image_path,subject_id,split,au_presence_only,AU01,eyeglasses,age,camera"
    lines = ("x1,img/0.png,007,train,TRUE,1,1,0.25,left", "x2,img/1.png,008,test,false,,0,,left")
    path = write_csv(tmp_path, lines, header)
    with pytest.warns(UserWarning, match=r"faces\.csv: columns ignored: camera"):
        faces, _ = read(path)
    assert faces["sample_id"].tolist() == ["x1", "x2"]
    assert faces["subject_id"].tolist() == ["007", "008"]
    assert faces["au_presence_only"].tolist() == [True, False]
    assert faces["age"].tolist()[0] == 0.25 and np.isnan(faces["age"][1])


def test_parquet_of_paths(tmp_path: Path) -> None:
    path = write_csv(tmp_path)
    expected, _ = read(path)
    table = pd.read_csv(path)
    table.to_parquet(tmp_path / "faces.parquet")
    assert recognise(tmp_path / "faces.parquet") == "table"
    pd.testing.assert_frame_equal(read(tmp_path / "faces.parquet")[0], expected)

    table.at[4, "AU04"] = 3.0
    table.to_parquet(tmp_path / "faces.parquet")
    with pytest.raises(FacsimileError) as caught:
        read(tmp_path / "faces.parquet")
    where = "row 4 (mine/img/4) column AU04"
    assert str(caught.value) == f"{tmp_path}/faces.parquet: {where}: 3.0 outside [0, 1]"


# Split of their own -----------------------------------------------------------------------------


def people(tmp_path: Path, count: int) -> Path:
    lines = tuple(f"img/{n % 6}.png,p{n},s{n}" for n in range(count))
    return write_csv(tmp_path, lines, "image_path,subject_id,sample_id")


@pytest.mark.parametrize(
    ("count", "shares"), [(3, (1, 1, 1)), (4, (2, 1, 1)), (20, (12, 3, 5)), (27, (16, 4, 7))]
)
def test_drawn_split(tmp_path: Path, count: int, shares: tuple[int, int, int]) -> None:
    faces, _ = read(people(tmp_path, count))
    counts = faces["split"].value_counts()
    assert tuple(counts[["train", "val", "test"]]) == shares


def test_drawn_split_depends_on_seed_and_subjects_alone(tmp_path: Path) -> None:
    path = people(tmp_path, 20)
    drawn = read(path)[0].set_index("subject_id")["split"]
    header, *lines = path.read_text().splitlines()
    path.write_text("\n".join((header, *reversed(lines), "img/0.png,p3,again")))
    again = read(path)[0].drop_duplicates("subject_id").set_index("subject_id")["split"]
    assert again.to_dict() == drawn.to_dict()
    assert read(path, seed=1)[0]["split"].tolist() != read(path)[0]["split"].tolist()


# Images -----------------------------------------------------------------------------------------

COLOURS = pixels(3)
GREY = COLOURS[..., 0]


def rgba() -> np.ndarray:
    half = np.full((SIZE, SIZE, 1), 255, np.uint8)
    half[:, SIZE // 2 :] = 0
    return np.concatenate([COLOURS, half], axis=-1)


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        (GREY, GREY),
        (GREY.astype(np.uint16) * 257, GREY),
        (rgba(), np.where(rgba()[..., 3:] > 0, COLOURS, 255)),
        (np.dstack([GREY, np.full_like(GREY, 255)]), GREY),
        (GREY > 127, np.where(GREY > 127, 255, 0)),
    ],
    ids=["grey", "16 bit", "RGBA", "grey with alpha", "1 bit"],
)
def test_modes_become_rgb(tmp_path: Path, image: np.ndarray, expected: np.ndarray) -> None:
    path = write_csv(tmp_path)
    write_image(tmp_path / "img" / "3.png", image)
    expected = expected if expected.ndim == 3 else np.dstack([expected] * 3)
    np.testing.assert_array_equal(decode_images(read(path)[0])[3], expected)


def test_palette_cmyk_and_orientation(tmp_path: Path) -> None:
    path = write_csv(tmp_path, (LINES[0], LINES[2].replace("png", "jpg"), LINES[4]))
    colours = np.full((SIZE, SIZE, 3), (9, 99, 200), np.uint8)
    colours[: SIZE // 2] += 20
    picture = write_image(tmp_path / "img" / "0.png", colours)
    with Image.open(picture) as opened:
        opened.quantize(4).save(picture)
        opened.convert("CMYK").save(tmp_path / "img" / "2.jpg", quality=95)
    turned = Image.fromarray(pixels(4)).rotate(90)
    exif = Image.Exif()
    exif[0x0112] = 6  # a quarter turn to the right
    turned.save(tmp_path / "img" / "4.png", exif=exif)
    images = decode_images(read(path)[0]).astype(int)
    assert np.abs(images[:2] - colours).max() <= 4
    np.testing.assert_array_equal(images[2], pixels(4))


def test_larger_images_are_resized(tmp_path: Path) -> None:
    path = write_csv(tmp_path)
    write_image(tmp_path / "img" / "0.png", np.kron(GREY, np.ones((5, 5), np.uint8)))
    found = decode_images(read(path)[0])[0].astype(int)
    assert np.abs(found[..., 0] - GREY).mean() < 20, "each pixel five times as wide"


# What is wrong ----------------------------------------------------------------------------------


def damage(name: str, content: bytes) -> Callable[[Path], None]:
    return lambda folder: (folder / "img" / name).write_bytes(content)


WRONG_FACES = {
    "AU above 1": (4, "img/2.png,b,val,1.5,0", "AU04", "1.5", "outside [0, 1]"),
    "AU below 0": (4, "img/2.png,b,val,0,-0.1", "AU12", "-0.1", "outside [0, 1]"),
    "infinite AU": (4, "img/2.png,b,val,inf,0", "AU04", "inf", "outside [0, 1]"),
    "text in an AU column": (4, "img/2.png,b,val,high,0", "AU04", "high", "not a number"),
    "decimal comma": (4, 'img/2.png,b,val,"0,5",0', "AU04", "0,5", "not a number"),
    "unknown split": (
        4,
        "img/2.png,b,holdout,1,0",
        "split",
        "holdout",
        "not one of train, val, test",
    ),
    "no split": (4, "img/2.png,b,,1,0", "split", None, "is missing"),
    "subject in two splits": (
        5,
        "img/3.png,b,test,0,0",
        "subject_id",
        "b",
        "is in splits test and val",
    ),
    "no subject": (4, "img/2.png,,val,1,0", "subject_id", None, "is missing"),
    "no path": (4, ",b,val,1,0", "image_path", None, "is missing"),
    "no such file": (4, "img/9.png,b,val,1,0", "image_path", "img/9.png", "is not a file"),
    "no such absolute file": (4, "/no/9.png,b,val,1,0", "image_path", "/no/9.png", "is not a file"),
    "folder": (4, "img,b,val,1,0", "image_path", "img", "is not a file"),
    "file twice": (
        5,
        "./img/2.png,b,val,1,0",
        "image_path",
        "./img/2.png",
        "repeats sample_id mine/img/2",
    ),
    "too few values": (4, "img/2.png,b,val,1", None, None, "has 4 values, the header 5"),
    "too many values": (4, "img/2.png,b,val,1,0,5", None, None, "has 6 values, the header 5"),
}


@pytest.mark.parametrize("case", WRONG_FACES)
def test_wrong_face(tmp_path: Path, case: str) -> None:
    line, content, column, value, reason = WRONG_FACES[case]
    lines = list(LINES)
    lines[line - 2] = content
    refused(write_csv(tmp_path, tuple(lines)), line, column, value, reason)


WRONG_IMAGES = {
    "zero bytes": (damage("2.png", b""), "is empty"),
    "truncated": (damage("2.png", png(pixels(2))[:120]), "is unreadable (image file is truncated"),
    "no image": (damage("2.png", b"not an image"), "is unreadable (not an image in"),
    "not square": (damage("2.png", png(pixels(2, 6, 4))), "is 4 × 6, but aligned faces are square"),
}


@pytest.mark.parametrize("case", WRONG_IMAGES)
def test_wrong_image(tmp_path: Path, case: str) -> None:
    harm, reason = WRONG_IMAGES[case]
    path = write_csv(tmp_path)
    harm(tmp_path)
    refused(path, 4, "image_path", "img/2.png", reason)


def refused(path: Path, line: int, column: str | None, value: str | None, reason: str) -> None:
    """One of six faces is refused, in a message or in the table of rejects; the others stay."""
    with pytest.raises(FacsimileError) as caught:
        read(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: line {line}")
    assert column is None or f" column {column}: " in message
    assert (reason if value is None else f"{value} {reason}") in message

    faces, rejects = read(path, "skip")
    (row,) = rejects.to_table().to_pylist()
    assert row.pop("reason").startswith(reason)
    assert row == {"file": str(path), "line": line, "column": column, "value": value}
    assert len(faces) == 5 and f"mine/img/{line - 2}" not in set(faces["sample_id"])


def test_sample_id_twice(tmp_path: Path) -> None:
    lines = tuple(f"{line},id{n // 2}" for n, line in enumerate(LINES))
    path = write_csv(tmp_path, lines, f"{HEADER},sample_id")
    with pytest.raises(FacsimileError, match=r"line 3 column sample_id: id0 dup.* \(and 2 more\)"):
        read(path)
    faces, rejects = read(path, "skip")
    assert faces["sample_id"].tolist() == ["id0", "id1", "id2"]
    assert [row["line"] for row in rejects.to_table().to_pylist()] == [3, 5, 7]


def test_line_of_a_row_after_a_line_break_in_quotes(tmp_path: Path) -> None:
    lines = ('img/0.png,"a\nb",train,0,0', "img/1.png,a,train,1.5,0")
    with pytest.raises(FacsimileError, match=r"line 4 \(mine/img/1\) column AU04: 1\.5 outside"):
        read(write_csv(tmp_path, lines))


def test_nothing_is_lost(tmp_path: Path) -> None:
    lines = (LINES[0], "img/1.png,a,train,9,x", LINES[2], "img/3.png,b", *LINES[4:])
    path = write_csv(tmp_path, lines)
    (tmp_path / "img" / "4.png").write_bytes(b"")
    faces, rejects = read(path, "skip")
    table = rejects.to_table().to_pylist()
    assert [(row["line"], row["column"]) for row in table] == [
        (5, None),
        (3, "AU12"),
        (3, "AU04"),
        (6, "image_path"),
    ]
    assert len(faces) + len({row["line"] for row in table}) == len(LINES)


WRONG_FILES = {
    "no column image_path": ("path,subject_id\n", "missing column image_path, found path, subj"),
    "no column subject_id": ("image_path,AU01\n", "missing column subject_id, found image_path, A"),
    "another delimiter": (
        "image_path~subject_id\n",
        "missing column image_path, found image_path~",
    ),
    "misspelt AU": ("image_path,subject_id,AU1\n", "column AU1 must be renamed AU01"),
    "misspelt name": ("image_path,Subject ID\n", "column Subject ID must be renamed subject_id"),
    "column twice": ("image_path,subject_id,AU01,AU01\n", "column AU01 occurs twice"),
    "empty": ("", "empty file"),
    "no face": (HEADER + "\n", "no faces"),
    "quote without end": (f'{HEADER}\n{LINES[0]}\n"img', "line 3: not readable as CSV (unexpected"),
    "two people": (
        "image_path,subject_id\nimg/0.png,a\nimg/1.png,b\n",
        "2 subjects (a, b) cannot be split into train, val and test; give a column split",
    ),
    "all rejected": (
        f"{HEADER}\n{LINES[0]},\n{LINES[1]},\n",
        "no faces: all were rejected, {path}: line 2: has 6 values, the header 5 (and 1 more)",
    ),
}


@pytest.mark.parametrize("case", WRONG_FILES)
def test_wrong_file(tmp_path: Path, case: str) -> None:
    content, message = WRONG_FILES[case]
    path = write_csv(tmp_path)
    path.write_text(content)
    with pytest.raises(FacsimileError) as caught:
        read(path, "skip")
    assert str(caught.value).startswith(f"{path}: {message.format(path=path)}")


def test_other_encodings(tmp_path: Path) -> None:
    path = write_csv(tmp_path)
    path.write_bytes(f"{HEADER}\nété.png,a,train,0,0".encode("latin-1"))
    with pytest.raises(FacsimileError, match=r"faces\.csv: line 2: byte 0xe9 is not UTF-8 text"):
        read(path)
    path.write_bytes("\n".join((HEADER, *LINES)).encode("utf-16")[:-1])
    with pytest.raises(FacsimileError, match=r"faces\.csv: not readable as UTF-16 text \(trunc"):
        read(path)
