"""AUs on another scale than [0, 1] are read where that is said, and refused where it is not."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from facsimile.errors import FacsimileError

from .trees import LINES, read, write_csv, write_disfa

LEVELS = [0, 1, 2, 3, 4, 5]


def table(folder: Path, aus: dict[str, list], **others: list) -> Path:
    """``faces.csv`` of six faces with these columns."""
    columns = others | aus
    head = [line.split(",")[:3] for line in LINES]
    lines = [
        ",".join([*head[n], *("" if v[n] is None else str(v[n]) for v in columns.values())])
        for n in range(6)
    ]
    return write_csv(folder, tuple(lines), ",".join(["image_path,subject_id,split", *columns]))


REFUSED = {
    "FACS levels": (
        {"AU12": LEVELS},
        None,
        "line 4 column AU12: 2 does not fit the scale 0-1; values are 0, 1, 2, 3, 4, 5, which "
        "looks like 0–5: set `scale: 0-5` under ingest.paths.mine",
    ),
    "FACS levels and blanks": ({"AU12": [0, None, 1, 3, None, 0]}, None, "looks like 0–5"),
    "presence with some 2": ({"AU04": [0, 1, 0, 1, 1, 0], "AU12": [0, 2, 1, 0, 1, 0]}, None, "0–5"),
    "levels beside fractions": (
        {"AU04": [0.2, 0.5, 0.7, 0.1, 0.3, 0.9], "AU12": LEVELS},
        None,
        "column AU12: 2 does not fit",
    ),
    "intensities from 0 to 5": ({"AU12": [0, 0.4, 1.7, 2.9, 4.1, 0.9]}, None, "looks like 0–5"),
    "percent": (
        {"AU12": [0, 20, 40, 60, 80, 100]},
        None,
        "values are 0, 20, 40, 60, 80, 100, which looks like 0–100 (percent): set `scale: 0-100`",
    ),
    "real-valued percent": ({"AU12": [0.1, 22.5, 4.5, 61.2, 88.1, 97.3]}, None, "`scale: 0-100`"),
    "a code for not known": ({"AU12": [0, 1, 9, 9, 0, 1]}, None, "leave unknown values blank"),
    "no known scale": (
        {"AU12": [0, 1000, 40, 255, 255, 9]},
        None,
        "fits none of the scales 0-1, 0",
    ),
    "evidence of both signs": (
        {"AU12": [-1.2, 0.3, 2.1, -3.5, 0.8, 0.2]},
        None,
        "fits none of the",
    ),
    "flagged as presence": (
        {"AU12": LEVELS, "au_presence_only": ["true"] * 6},
        None,
        "does not fit the scale 0-1",
    ),
    "declared 0-1": (
        {"AU12": LEVELS},
        "0-1",
        "does not fit `scale: 0-1`; values are 0, 1, 2, 3, 4, 5, which looks like 0–5",
    ),
    "declared 0-5, percent": (
        {"AU12": [0, 20, 40, 60, 80, 100]},
        "0-5",
        "column AU12: 20 does not fit `scale: 0-5`; values are 0, 20, 40, 60, 80, 100, which looks "
        "like 0–100 (percent): set `scale: 0-100`",
    ),
    "declared 0-5, fractions": ({"AU12": [0, 0.2, 0.4, 0.6, 0.8, 1]}, "0-5", "looks like 0–1"),
    "declared percent, levels": ({"AU12": LEVELS}, "percent", "looks like 0–5: set `scale: 0-5`"),
}


@pytest.mark.parametrize("on_error", ["raise", "skip"])
@pytest.mark.parametrize("case", REFUSED)
def test_another_scale_is_refused_as_a_whole(tmp_path: Path, case: str, on_error: str) -> None:
    aus, scale, message = REFUSED[case]
    path = table(tmp_path, aus)
    with pytest.raises(FacsimileError) as caught:
        read(path, on_error, options={"scale": scale})
    assert str(caught.value).startswith(f"{path}: line ") and message in str(caught.value)


@pytest.mark.parametrize(
    ("scale", "values", "expected"),
    [
        ("0-5", LEVELS, [0, 0.2, 0.4, 0.6, 0.8, 1]),
        ("0-5", [0, 1, None, 3, "NA", 5], [0, 0.2, None, 0.6, None, 1]),
        ("0-5", [0, 0.55, 1.25, 3, 4.9, 5], [0, 0.11, 0.25, 0.6, 0.98, 1]),
        ("0-100", [0, 20, 45.5, 60, 80, 100], [0, 0.2, 0.455, 0.6, 0.8, 1]),
        ("percent", [0, 20, 45.5, 60, 80, 100], [0, 0.2, 0.455, 0.6, 0.8, 1]),
        ("0-1", [0, 0.2, 0.4, 0.6, 0.8, 1], [0, 0.2, 0.4, 0.6, 0.8, 1]),
        # Two people who were hardly moved: that is no other scale.
        ("0-5", [0, 0, 0, 1, 0, 1], [0, 0, 0, 0.2, 0, 0.2]),
    ],
)
def test_declared_scale(tmp_path: Path, scale: str, values: list, expected: list) -> None:
    faces, _ = read(table(tmp_path, {"AU12": values}), options={"scale": scale})
    np.testing.assert_allclose(faces["AU12"], np.array(expected, float), rtol=1e-6)
    assert not faces["au_presence_only"].any()


def test_declared_scale_of_parquet(tmp_path: Path) -> None:
    path = table(tmp_path, {"AU12": LEVELS})
    pd.read_csv(path).astype({"AU12": "int8"}).to_parquet(tmp_path / "faces.parquet")
    with pytest.raises(FacsimileError, match=r"faces\.parquet: row 2 column AU12: 2 .*scale: 0-5"):
        read(tmp_path / "faces.parquet", "skip")
    faces, _ = read(tmp_path / "faces.parquet", options={"scale": "0-5"})
    np.testing.assert_allclose(faces["AU12"], [0, 0.2, 0.4, 0.6, 0.8, 1], rtol=1e-6)


def test_single_bad_values_are_no_scale(tmp_path: Path) -> None:
    path = table(tmp_path, {"AU12": [0.2, 0.6, 1.2, 0, 1, 0.4]})
    with pytest.raises(FacsimileError, match=r"line 4 .* column AU12: 1\.2 outside \[0, 1\]"):
        read(path)
    faces, rejects = read(path, "skip")
    assert len(faces) == 5 and len(rejects) == 1

    path = table(tmp_path, {"AU04": LEVELS, "AU12": [1, 2, 3, 4, 55, "x"]})
    with pytest.raises(FacsimileError, match=r"column AU12: 55 outside 0-5, the scale of these AU"):
        read(path, options={"scale": "0-5"})
    faces, rejects = read(path, "skip", options={"scale": "0-5"})
    assert len(faces) == 4
    assert [(found.value, found.reason.split(",")[0]) for found in rejects.found] == [
        ("55", "outside 0-5"),
        ("x", "not a number"),
    ]


def test_faces_of_presence_only_have_no_scale(tmp_path: Path) -> None:
    flags = ["true", "true", "false", "false", "false", "false"]
    path = table(tmp_path, {"AU12": [0, 1, 2, 3, 5, 1], "au_presence_only": flags})
    faces, _ = read(path, options={"scale": "0-5"})
    np.testing.assert_allclose(faces["AU12"], [0, 1, 0.4, 0.6, 1, 0.2], rtol=1e-6)
    assert faces["au_presence_only"].tolist() == [flag == "true" for flag in flags]


def test_nothing_but_0_and_1_is_presence_with_a_word(tmp_path: Path) -> None:
    binary = {"AU04": [0, 1, 1, 0, 0, 1], "AU12": ["0.0", "1.0", "", 0, 0, 0]}
    with pytest.warns(UserWarning, match=r"all AUs are 0 or 1, .* read as au_presence_only"):
        faces, _ = read(table(tmp_path, binary))
    assert faces["au_presence_only"].all()
    faces, _ = read(table(tmp_path, binary, au_presence_only=["false"] * 6))
    assert not faces["au_presence_only"].any()
    faces, _ = read(table(tmp_path, binary | {"AU12": [0, 1, 0.6, 0, 0, 0]}))
    assert not faces["au_presence_only"].any()


@pytest.mark.parametrize(
    ("column", "values", "message"),
    [
        ("age", [23, 35, 41, 1, 0, 60], r"column age: 23 is outside \[0, 1\].*\(years − 18\) / 62"),
        (
            "male",
            [1, 2, 2, 1, 1, 2],
            r"column male: 2 is outside \[0, 1\].*0 is female and 1 is ma",
        ),
        ("beard", [-1, 1, -1, 1, 1, -1], r"column beard: -1 is outside \[0, 1\]"),
    ],
)
def test_codes_of_attributes_are_refused(
    tmp_path: Path, column: str, values: list, message: str
) -> None:
    with pytest.raises(FacsimileError, match=message):
        read(table(tmp_path, {column: values}), "skip")


def test_scale_is_for_tables(tmp_path: Path) -> None:
    with pytest.raises(FacsimileError, match="this file layout has no option scale"):
        read(write_disfa(tmp_path), options={"scale": "0-5"})
