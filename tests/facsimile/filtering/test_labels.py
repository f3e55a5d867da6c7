"""Labels from requested intensities and readings."""

import numpy as np
import pytest

from facsimile.errors import FacsimileError
from facsimile.filtering import MIN_PEARSON, LabelCorrector


def corrector(pearson: list[float], threshold: float = 0.3) -> LabelCorrector:
    """As if fitted to a reader with these correlations."""
    fitted = LabelCorrector()
    fitted.pearson_ = np.array(pearson)
    fitted.thresholds_ = np.full(len(pearson), threshold)
    return fitted


def test_a_reading_counts_by_its_correlation():
    requested = np.array([[0.8, 0.8, 0.8, 0.8, 0.0]])
    readings = np.array([[0.4, 0.4, 0.4, -0.3, 1.4]])
    labels = corrector([1.0, 0.5, -0.2, 1.0, 1.0]).correct(requested, readings)
    # 1/2 and 1/5 of the way; not at all; readings are clipped first.
    np.testing.assert_allclose(labels, [[0.6, 0.72, 0.8, 0.4, 0.5]], rtol=1e-6)
    assert labels.dtype == np.float32


def test_where_nothing_was_requested_a_good_reading_stands_alone():
    requested = np.array([[np.nan, np.nan, np.nan, 0.4]])
    readings = np.array([[0.3, 0.3, 0.3, 0.9]])
    labels = corrector([MIN_PEARSON, 0.74, np.nan, np.nan]).correct(requested, readings)
    np.testing.assert_allclose(labels, [[0.3, np.nan, np.nan, 0.4]], rtol=1e-6)


def test_labels_of_faces_known_by_presence_stay():
    requested = np.array([[1.0, np.nan], [1.0, np.nan]])
    readings = np.array([[0.5, 0.5], [0.5, 0.5]])
    labels = corrector([1.0, 1.0]).correct(requested, readings, np.array([True, False]))
    np.testing.assert_allclose(labels, [[1.0, np.nan], [0.75, 0.5]])


def test_corrected_labels_are_nearest_to_the_truth():
    rng = np.random.default_rng(0)
    truth = rng.uniform(size=(4000, 1))
    requested = np.clip(truth + 0.15 * rng.normal(size=truth.shape), 0, 1)
    readings = truth + 0.2 * rng.normal(size=truth.shape)
    fitted = LabelCorrector().fit(truth[:2000], readings[:2000])
    labels = fitted.correct(requested, readings)
    error = [np.square(guess - truth).mean() for guess in (requested, readings, labels)]
    assert error[2] < 0.8 * min(error[:2])


def test_fit_measures_correlation_and_thresholds_of_each_au():
    rng = np.random.default_rng(0)
    labels = rng.uniform(size=(500, 3)) * (rng.random((500, 3)) < 0.5)
    labels[:, 2] = np.nan
    readings = np.column_stack([labels[:, 0], rng.uniform(size=500), labels[:, 0]])
    fitted = LabelCorrector().fit(labels, readings)
    np.testing.assert_allclose(fitted.pearson_, [1, 0, np.nan], atol=0.1)
    assert ((fitted.thresholds_ > 0) & (fitted.thresholds_ < 1)).all()


def test_only_readable_aus_are_detected():
    detected = corrector([0.9, 0.7, np.nan]).detect(np.array([[0.4, 0.4, 0.4], [0.2, 0.2, 0.2]]))
    np.testing.assert_array_equal(detected, [[1, np.nan, np.nan], [0, np.nan, np.nan]])


def test_shapes_must_match():
    with pytest.raises(FacsimileError, match=r"\(2, 3\), \(2, 4\) and \(3,\)"):
        corrector([0, 0, 0]).correct(np.zeros((2, 3)), np.zeros((2, 4)))


def test_an_au_that_cannot_be_read_keeps_its_request():
    labels = corrector([np.nan, np.nan]).correct(
        np.array([[0.8, np.nan]]), np.array([[np.nan, np.nan]])
    )
    np.testing.assert_allclose(labels, [[0.8, np.nan]], rtol=1e-6)
