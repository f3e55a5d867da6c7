"""Labels from what was intended and what is read."""

import numpy as np
import pytest

from facsimile.errors import FacsimileError
from facsimile.filtering import corrected_labels


def test_a_reading_counts_by_what_it_explains():
    intended = np.array([[0.8, 0.8, 0.8, 0.8, 0.0]])
    readings = np.array([[0.4, 0.4, 0.4, -0.3, 1.4]])
    trust = np.array([1.0, 0.5, -0.2, 1.0, 1.0])
    labels = corrected_labels(intended, readings, trust)
    # 1/2 and 1/5 of the way; not at all; readings are clipped first.
    np.testing.assert_allclose(labels, [[0.6, 0.72, 0.8, 0.4, 0.5]], rtol=1e-6)
    assert labels.dtype == np.float32


def test_where_nobody_knows_a_good_reading_stands_alone():
    intended = np.array([[np.nan, np.nan, np.nan, 0.4]])
    readings = np.array([[0.3, 0.3, 0.3, 0.9]])
    labels = corrected_labels(intended, readings, np.array([0.75, 0.74, np.nan, np.nan]))
    np.testing.assert_allclose(labels, [[0.3, np.nan, np.nan, 0.4]], rtol=1e-6)


def test_labels_of_the_right_weights_are_nearest_to_the_truth():
    rng = np.random.default_rng(0)
    truth = rng.uniform(size=(4000, 1))
    intended = np.clip(truth + 0.15 * rng.normal(size=truth.shape), 0, 1)
    readings = truth + 0.2 * rng.normal(size=truth.shape)
    trust = np.array([np.corrcoef(readings[:, 0], truth[:, 0])[0, 1]])
    labels = corrected_labels(intended, readings, trust)
    error = [np.square(guess - truth).mean() for guess in (intended, readings, labels)]
    assert error[2] < 0.8 * min(error[:2])


def test_shapes_must_match():
    with pytest.raises(FacsimileError, match=r"\(2, 3\), \(2, 4\) and \(3,\)"):
        corrected_labels(np.zeros((2, 3)), np.zeros((2, 4)), np.zeros(3))


def test_an_au_that_cannot_be_read_stays_as_it_was_set():
    labels = corrected_labels(
        np.array([[0.8, np.nan]]), np.array([[np.nan, np.nan]]), np.array([np.nan, np.nan])
    )
    np.testing.assert_allclose(labels, [[0.8, np.nan]], rtol=1e-6)
