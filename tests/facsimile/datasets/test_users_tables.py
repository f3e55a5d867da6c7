"""Tables as tools for faces, spreadsheets and other systems write them."""

import unicodedata
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from facsimile.errors import FacsimileError
from facsimile.faces.tables import decode_images

from .trees import HEADER, LINES, pixels, read, write_csv, write_image

# Tables of other tools have columns that ingest ignores, and says so.
pytestmark = pytest.mark.filterwarnings(
    "ignore:.*columns ignored:UserWarning", "ignore:.*OpenFace columns:UserWarning"
)


def write(folder: Path, text: str, name: str = "faces.csv") -> Path:
    path = write_csv(folder)
    (folder / name).write_text(text, "utf-8")
    return path.with_name(name)


def openface(folder: Path, columns: str, rows: list[str]) -> Path:
    """A table as OpenFace writes it: blanks after commas."""
    head = f"image_path, subject_id, frame, face_id, timestamp, confidence, success, {columns}"
    lines = [
        f"img/{n}.png, {'aabbcc'[n]}, {n + 1}, 0, {n / 30:.3f}, 0.98, {row}"
        for n, row in enumerate(rows)
    ]
    return write(folder, "\n".join([head, *lines]) + "\n")


# OpenFace and py-feat ----------------------------------------------------------------------------


def test_openface(tmp_path: Path) -> None:
    rows = [f"1, 0.00, {n}.50, {n % 2}.00, {n % 2}.00, 0.00" for n in range(5)]
    path = openface(tmp_path, "AU01_r, AU12_r, AU01_c, AU12_c, AU28_c", [*rows, "0, 0, 0, 0, 0, 0"])
    with pytest.raises(FacsimileError, match="line 7 column success: 0 means that no face was f"):
        read(path)
    with pytest.warns(UserWarning, match="columns ignored: AU01_c, AU12_c, AU28_c, frame, face_id"):
        faces, rejects = read(path, "skip")
    assert [found.column for found in rejects.found] == ["success"]
    np.testing.assert_allclose(faces["AU12"], [0.1, 0.3, 0.5, 0.7, 0.9], rtol=1e-6)
    assert (faces["AU01"] == 0).all() and faces["AU04"].isna().all()
    assert not faces["au_presence_only"].any()


def test_openface_of_faint_expressions_is_still_0_to_5(tmp_path: Path) -> None:
    path = openface(tmp_path, "AU12_r", [f"1, 0.{n}" for n in range(6)])
    np.testing.assert_allclose(read(path)[0]["AU12"], np.arange(6) / 50, rtol=1e-6)
    with pytest.raises(
        FacsimileError, match=r"column AU12_r: 40 does not fit the scale 0-5.*0-100"
    ):
        read(openface(tmp_path, "AU12_r", [f"1, {n}0" for n in (0, 4, 5, 6, 9, 10)]))
    # Who has brought them to [0, 1] can say so.
    faces, _ = read(
        openface(tmp_path, "AU12_r", [f"1, 0.{n}" for n in range(6)]), options={"scale": "0-1"}
    )
    np.testing.assert_allclose(faces["AU12"], np.arange(6) / 10, rtol=1e-6)


def test_openface_presence_where_there_is_no_intensity(tmp_path: Path) -> None:
    path = openface(tmp_path, "AU01_c, AU12_c", [f"1, {n % 2}.00, 0.00" for n in range(6)])
    with pytest.warns(UserWarning, match="OpenFace columns AU01_c … give presence only"):
        faces, _ = read(path)
    assert faces["au_presence_only"].all()
    assert faces["AU01"].tolist() == [0, 1, 0, 1, 0, 1]

    path = openface(tmp_path, "AU01_c, AU12_r", [f"1, {n % 2}.00, {n}.00" for n in range(6)])
    faces, _ = read(path)
    assert faces["AU01"].tolist() == [0, 1, 0, 1, 0, 1]
    np.testing.assert_allclose(faces["AU12"], np.arange(6) / 5, rtol=1e-6)
    assert faces["au_presence_only"].all()


def test_openface_of_pandas(tmp_path: Path) -> None:
    rows = [f"1, {n}.50" for n in (0, 1, 2, 3, 4, 0)]
    expected, _ = read(openface(tmp_path, "AU12_r", rows))
    table = pd.read_csv(tmp_path / "faces.csv", dtype={" subject_id": "category"})
    assert " AU12_r" in table
    table.to_parquet(tmp_path / "faces.parquet")
    faces, _ = read(tmp_path / "faces.parquet")
    pd.testing.assert_frame_equal(faces, expected)


def test_py_feat(tmp_path: Path) -> None:
    head = "FaceRectX,FaceScore,x_0,Pitch,AU01,AU07,AU12,anger,input,frame,subject_id"
    rows = [f"1,0.99,3,0.1,0.{n},0.5,0.25,0.1,img/{n}.png,{n},{'aabbcc'[n]}" for n in range(5)]
    path = write(tmp_path, "\n".join([head, *rows, ",,,,,,,,img/5.png,5,c"]))
    with pytest.warns(UserWarning, match="columns ignored: AU07, FaceRectX, x_0, Pitch, anger, fr"):
        faces, rejects = read(path, "skip")
    assert faces["sample_id"].tolist() == [f"mine/img/{n}" for n in range(5)]
    np.testing.assert_allclose(faces["AU01"], np.arange(5) / 10, rtol=1e-6)
    (lost,) = rejects.found
    assert str(lost) == f"{path}: line 7 column FaceScore: means that no face was found"


LOST = {
    "all unknown": ("AU01_x,AU04_x", "column AU01_x, AU04_x is not recognised as an Action Unit: "),
    "one unknown": ("AU04,AU12_mean", "column AU12_mean is not recognised as an Action Unit: r"),
    "in words": (
        "Action Unit 12 - Lip Corner Puller,AU01",
        "rename it AU12, or AU12_r (0–5) and AU1",
    ),
    "of another tool": ("fac_AU12int,AU01", "column fac_AU12int is not recognised"),
    "one digit": ("AU1_r,AU12", "column AU1_r is not recognised as an Action Unit: rename it AU01"),
}


@pytest.mark.parametrize("case", LOST)
def test_columns_like_aus_are_not_lost(tmp_path: Path, case: str) -> None:
    columns, message = LOST[case]
    path = write(tmp_path, f"image_path,subject_id,{columns}\nimg/0.png,a,0,0\n")
    with pytest.raises(FacsimileError) as caught:
        read(path, "skip")
    assert str(caught.value).startswith(f"{path}: ") and message in str(caught.value)
    table = pd.read_csv(path).assign(sample_id="a", split="train", image=b"")
    table.drop(columns="image_path").to_parquet(tmp_path / "faces.parquet")
    with pytest.raises(FacsimileError) as caught:
        read(tmp_path / "faces.parquet", "skip")
    assert message in str(caught.value)


def test_other_statistics_of_an_au_that_is_read(tmp_path: Path) -> None:
    path = write(tmp_path, f"{HEADER},AU12_mean\n" + "".join(f"{line},0\n" for line in LINES))
    with pytest.warns(UserWarning, match="columns ignored: AU12_mean"):
        read(path)


# Text --------------------------------------------------------------------------------------------


def european(delimiter: str) -> str:
    lines = [line.replace(",", delimiter).replace(".", ",") for line in (HEADER, *LINES)]
    return "\n".join(lines).replace(",png", ".png") + "\n"


TEXTS = {
    "semicolons and decimal commas": european(";"),
    "tabs and decimal commas": european("\t"),
    "a first line of Excel": "sep=;\r\n" + european(";").replace("\n", "\r\n"),
    "semicolons and decimal points": "\n".join((HEADER, *LINES)).replace(",", ";"),
    "blanks after commas": "\n".join((HEADER, *LINES)).replace(",", ", "),
    "quotes after blanks": "\n".join((HEADER, *LINES)).replace(",a,", ', "a",'),
    "backslashes": "\n".join((HEADER, *LINES)).replace("img/", "img\\"),
    "capitals": "\n".join((HEADER, *LINES)).replace(",train,", ",Train,").replace(",te", ",TE"),
    "validation": "\n".join((HEADER, *LINES)).replace(",val,", ",validation,"),
    "dev": "\n".join((HEADER, *LINES)).replace(",val,", ",dev,"),
}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("case", TEXTS)
def test_ways_of_writing_text(tmp_path: Path, case: str, encoding: str) -> None:
    expected, _ = read(write_csv(tmp_path))
    (tmp_path / "faces.csv").write_bytes(TEXTS[case].encode(encoding))
    pd.testing.assert_frame_equal(read(tmp_path / "faces.csv")[0], expected)


def test_tab_separated_file(tmp_path: Path) -> None:
    expected, _ = read(write_csv(tmp_path))
    path = write(tmp_path, "\n".join((HEADER, *LINES)).replace(",", "\t"), "faces.tsv")
    pd.testing.assert_frame_equal(read(path)[0], expected)
    path.write_text(path.read_text().replace("0.5", "high"))
    with pytest.raises(FacsimileError, match=r"faces\.tsv: line 3 .*column AU04: high not a numb"):
        read(path)


def test_line_numbers_after_a_first_line_of_excel(tmp_path: Path) -> None:
    path = write(tmp_path, "sep=;\n" + european(";").replace("0,5", "high"))
    with pytest.raises(FacsimileError, match=r"line 4 .*column AU04: high not a number"):
        read(path)


@pytest.mark.parametrize("mark", ["nan", "NaN", "NA", "N/A", "n/a", "null", "None", "-", "?"])
def test_an_au_that_is_not_known(tmp_path: Path, mark: str) -> None:
    lines = (LINES[0], f"img/1.png,a,train,0.5,{mark}", *LINES[2:])
    faces, rejects = read(write_csv(tmp_path, lines))
    assert len(faces) == 6 and len(rejects) == 0
    assert faces["AU12"].isna().tolist() == [False, True, *[False] * 4]
    text = pd.read_csv(tmp_path / "faces.csv", dtype=str, keep_default_na=False)
    text.to_parquet(tmp_path / "faces.parquet")
    pd.testing.assert_frame_equal(read(tmp_path / "faces.parquet")[0], faces)


@pytest.mark.parametrize(
    ("path", "hint"),
    [
        ("C:\\faces\\1.png", "is not a file; it is a Windows path: make it relative to the table"),
        ("https://x.org/1.png", "is not a file; it is a URL: download the file first"),
        ("img/1.PNG", "is not a file; there is 1.png"),
        ("x" * 300 + ".png", "is not a file"),
        ("img/\0.png", "is not a file"),
    ],
)
def test_pictures_that_are_not_there(tmp_path: Path, path: str, hint: str) -> None:
    table = write_csv(tmp_path, (LINES[0], f"{path},a,train,0,0", *LINES[2:]))
    with pytest.raises(FacsimileError) as caught:
        read(table)
    assert str(caught.value).endswith(hint) and "\0" not in str(caught.value)


# Unicode -----------------------------------------------------------------------------------------

NFC, NFD = (unicodedata.normalize(form, "Zoë/été.png") for form in ("NFC", "NFD"))


@pytest.mark.parametrize(("written", "stored"), [(NFC, NFD), (NFD, NFC), (NFD, NFD)])
def test_pictures_in_either_form_of_unicode(tmp_path: Path, written: str, stored: str) -> None:
    write_image(tmp_path / stored, pixels(7))
    path = write_csv(tmp_path, (LINES[0].replace("img/0.png", written), LINES[2], LINES[4]))
    faces, _ = read(path)
    np.testing.assert_array_equal(decode_images(faces)[0], pixels(7))
    assert faces["sample_id"].tolist()[0] == f"mine/{NFC[:-4]}"


def test_folder_and_file_in_different_forms(tmp_path: Path) -> None:
    mixed = f"{NFD.split('/')[0]}/{NFC.split('/')[1]}"
    write_image(tmp_path / mixed, pixels(7))
    path = write_csv(tmp_path, (LINES[0].replace("img/0.png", NFC), LINES[2], LINES[4]))
    np.testing.assert_array_equal(decode_images(read(path)[0])[0], pixels(7))


def test_a_person_in_both_forms_is_one(tmp_path: Path) -> None:
    names = {"a": "Zoë", "b": unicodedata.normalize("NFD", "Zoë")}
    lines = tuple(
        line.replace(f",{who},", f",{names.get(who, who)},").replace("val", "train")
        for line, who in zip(LINES, "aabbcc", strict=True)
    )
    faces, _ = read(write_csv(tmp_path, lines))
    assert set(faces["subject_id"]) == {"Zoë", "c"}
    apart = (*lines[:3], lines[3].replace("train", "test"), *lines[4:])
    with pytest.raises(FacsimileError, match="Zoë is in splits test and train"):
        read(write_csv(tmp_path, apart))
    ids = [*names.values(), *"cdef"]
    twice = tuple(f"{line},{name}" for line, name in zip(lines, ids, strict=True))
    with pytest.raises(FacsimileError, match="column sample_id: Zoë duplicate"):
        read(write_csv(tmp_path, twice, f"{HEADER},sample_id"))
