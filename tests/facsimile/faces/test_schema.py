"""Every violation of the face schema is one line with file, row, column and value."""

import numpy as np
import pandas as pd
import pytest

from facsimile.errors import FacsimileError
from facsimile.faces.schema import validate_faces


@pytest.fixture
def faces() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "sample_id": ["d/SN1/0", "d/SN1/1", "d/SN2/0", "d/SN2/1"],
            "subject_id": ["d/SN1", "d/SN1", "d/SN2", "d/SN2"],
            "split": ["train", "train", "val", "val"],
            "AU01": np.array([0.0, 0.2, 1.0, np.nan], np.float32),
            "age": np.array([0.0, 0.5, 1.0, np.nan], np.float32),
            "edited_au": [None, "AU01", "AU26", None],
        }
    )


def test_valid_faces_come_back_unchanged(faces):
    assert validate_faces(faces, "faces.parquet") is faces
    assert faces["AU01"].dtype == np.float32


@pytest.mark.parametrize(
    ("row", "column", "value", "message"),
    [
        (1, "AU01", 1.5, "row 1 (d/SN1/1) column AU01: 1.5 outside [0, 1]"),
        (0, "age", -0.25, "row 0 (d/SN1/0) column age: -0.25 outside [0, 1]"),
        (2, "AU01", np.inf, "row 2 (d/SN2/0) column AU01: inf outside [0, 1]"),
        (2, "sample_id", "d/SN1/0", "row 2 column sample_id: d/SN1/0 duplicate"),
        (1, "sample_id", None, "row 1 column sample_id: is missing"),
        (3, "split", "dev", "row 3 (d/SN2/1) column split: dev not one of train, val, test"),
        (3, "edited_au", "AU99", "row 3 (d/SN2/1) column edited_au: AU99 not an Action Unit"),
        (
            1,
            "split",
            "test",
            "row 1 (d/SN1/1) column subject_id: d/SN1 is in splits test and train",
        ),
    ],
)
def test_one_violation(faces, row, column, value, message):
    faces.loc[row, column] = value

    with pytest.raises(FacsimileError) as error:
        validate_faces(faces, "faces.parquet")
    assert str(error.value) == f"faces.parquet: {message}"


def test_text_where_a_number_belongs(faces):
    faces["AU01"] = ["0.2", "high", "0", "1"]
    with pytest.raises(FacsimileError, match=r"row 1 \(d/SN1/1\) column AU01: high not a number$"):
        validate_faces(faces, "faces.parquet")


def test_number_where_text_belongs(faces):
    faces["sample_id"] = [1, 2, 3, 4]
    with pytest.raises(FacsimileError, match=r"row 0 column sample_id: 1 not text \(and 3 more\)$"):
        validate_faces(faces, "faces.parquet")


def test_further_violations_are_counted_once_each(faces):
    faces["AU01"] = [2.0, 0.0, 3.0, -1.0]
    with pytest.raises(FacsimileError, match=r"2\.0 outside \[0, 1\] \(and 2 more\)$"):
        validate_faces(faces, "faces.parquet")


def test_rows_count_from_zero_whatever_the_index(faces):
    faces.index = [7, 7, 7, 30]
    faces["AU01"] = [0.0, 0.0, 0.0, 9.0]
    with pytest.raises(FacsimileError, match=r"row 3 \(d/SN2/1\) column AU01: 9\.0"):
        validate_faces(faces, "faces.parquet")


def test_only_present_columns_are_checked(faces):
    validate_faces(faces[["sample_id", "AU01"]], "faces.parquet")
