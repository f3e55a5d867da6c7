"""Which AUs a table is annotated for."""

import numpy as np
import pandas as pd
import pytest

from facsimile.faces.annotation import (
    annotated_aus,
    drop_unknown_labels,
    explain_unused_aus,
    keep_labels,
    keep_readings,
    learnable_aus,
    mostly_annotated_aus,
)
from facsimile.faces.aus import AUS


@pytest.fixture
def labels() -> np.ndarray:
    """AU01 comes and goes, AU02 is never shown, AU04 always, AU05 seldom known; else nothing."""
    labels = np.full((8, 12), np.nan)
    labels[:7, 0] = [0, 0.5, 0, 0, 0.05, 1, 0]
    labels[:7, 1] = 0
    labels[:7, 2] = 0.4
    labels[:2, 3] = [0, 0.2]
    return labels


def test_aus_of_a_table(labels: np.ndarray) -> None:
    assert annotated_aus(labels) == ("AU01", "AU02", "AU05")
    assert learnable_aus(labels) == ("AU01", "AU05")
    assert mostly_annotated_aus(labels) == ("AU01", "AU02")
    full = np.tile([0.0, 1.0], (12, 1)).T
    assert annotated_aus(full) == learnable_aus(full) == mostly_annotated_aus(full) == AUS


def test_omitted_aus_are_reported_with_the_reason(labels: np.ndarray) -> None:
    assert explain_unused_aus(labels, ("AU01", "AU05")) == (
        "AU02: on no annotated face; AU04: on every annotated face; "
        "AU06, AU09, AU12, AU15, AU17, AU20, AU25, AU26: not annotated"
    )


def test_only_some_labels_are_kept() -> None:
    faces = pd.DataFrame({"AU01": np.float32([0, 1]), "AU02": np.float32([1, 0]), "male": 1.0})
    kept = keep_labels(faces, ("AU02",))
    assert kept["AU01"].isna().all() and kept["AU01"].dtype == np.float32
    pd.testing.assert_frame_equal(kept[["AU02", "male"]], faces[["AU02", "male"]])
    pd.testing.assert_frame_equal(keep_labels(faces, AUS), faces)


def test_zero_is_a_label_only_where_absence_is_known() -> None:
    edited = pd.DataFrame(0.0, index=[5, 6], columns=list(AUS)).assign(source_id=["b", "a"])
    edited.loc[5, "AU04"] = 0.7
    absent = pd.DataFrame(False, index=["a", "b"], columns=list(AUS))
    absent.loc["a", "AU12"] = True
    labels = drop_unknown_labels(edited, absent)
    assert labels.loc[5, "AU04"] == 0.7 and labels.loc[6, "AU12"] == 0
    assert labels[list(AUS)].notna().sum(axis=1).tolist() == [1, 1]


def test_readings_of_other_aus_are_dropped():
    kept = keep_readings(np.ones((2, len(AUS)), np.float32), ("AU02", "AU12"))
    assert kept.dtype == np.float32
    np.testing.assert_array_equal(~np.isnan(kept[0]), [au in ("AU02", "AU12") for au in AUS])
