import numpy as np
import pytest
from sklearn.metrics import f1_score

from facsimile.errors import FacsimileError
from facsimile.faces.annotation import presence
from facsimile.faces.aus import AUS
from facsimile.measurement import (
    au_pair_fpr,
    au_recall,
    choose_thresholds,
    cluster_bootstrap,
    cosine_distance,
    equal_error_rate,
    f1_per_au,
    icc_3_1,
    inter_au_correlation,
    jaccard,
    mean_abs_correlation,
    mean_defined,
    over_seeds,
    pearson_per_au,
    verification_auc,
)
from facsimile.measurement.summaries import long_form

NAN = np.nan


def test_presence_keeps_what_is_not_annotated_and_takes_a_threshold_per_au():
    aus = np.array([[0.1, 0.3], [NAN, 0.5]], np.float32)
    np.testing.assert_array_equal(presence(aus, [0.1, 0.4]), [[1, 0], [NAN, 1]])


def test_presence_counts_the_threshold_in_either_precision():
    assert presence(np.array([[np.float32(0.1)]])) == 1
    assert presence(np.array([[np.float32(0.35)]], np.float32), 0.35) == 1


def test_f1_by_hand():
    labels = np.array([[1, 0, NAN], [1, 0, 1], [0, 0, 1], [0, 0, 0]], float)
    detected = np.array([[1, 1, 1], [0, 0, 1], [1, 0, 0], [0, 0, 0]], float)
    # AU 0: TP 1, FP 1, FN 1. AU 1 is never present. AU 2: TP 1, FN 1 over the three known faces.
    np.testing.assert_allclose(f1_per_au(labels, detected), [0.5, NAN, 2 / 3])


def test_f1_agrees_with_scikit_learn_where_everything_is_annotated():
    rng = np.random.default_rng(0)
    labels, detected = (rng.random((2, 200, 5)) < 0.3).astype(float)
    np.testing.assert_allclose(
        f1_per_au(labels, detected), f1_score(labels, detected, average=None)
    )


def test_au_pair_fpr_by_hand():
    #                    i    j    k
    labels = np.array([[0, 1, 0], [0, 1, 1], [1, 1, 0], [0, 0, 1], [NAN, 1, 1]], float)
    detected = np.array([[1, 1, 0], [0, 0, 1], [1, 1, 1], [1, 0, 0], [1, 1, 1]], float)
    expected = [
        [NAN, 1 / 2, 1 / 2],  # i absent: faces 0, 1 with j (one detected); faces 1, 3 with k
        [0, NAN, 0],  # j absent: face 3 alone, with k; with i never
        [1, 1 / 2, NAN],  # k absent: face 2 with i (detected); faces 0, 2 with j (one detected)
    ]
    rates = au_pair_fpr(labels, detected)
    expected[1][0] = NAN
    np.testing.assert_allclose(rates, expected)
    assert mean_defined(rates) == pytest.approx(0.5)


def test_icc_3_1_of_the_shrout_fleiss_form():
    # Two raters, constant offset: consistency does not mind it.
    labels = np.array([[0.0], [0.2], [0.4], [0.6]])
    assert icc_3_1(labels, labels + 0.3) == pytest.approx([1.0])
    first, second = np.array([[0.0], [1.0], [2.0]]), np.array([[1.0], [0.0], [3.0]])
    # face means .5 .5 2.5, grand mean 7/6: BMS = 2·(2·(2/3)² + (4/3)²)/2 = 8/3
    # rater effects ∓1/6, differences within faces 1 −1 1: EMS = Σ residual²/2 = 2/3
    assert icc_3_1(first, second) == pytest.approx([(8 / 3 - 2 / 3) / (8 / 3 + 2 / 3)])


def test_correlations_skip_unannotated_and_constant_aus():
    labels = np.array([[0.0, 0.5], [NAN, 0.5], [1.0, 0.5], [2.0, 0.5]])
    guesses = np.array([[0.0, 1.0], [9.0, 2.0], [2.0, 3.0], [4.0, 4.0]])
    np.testing.assert_allclose(pearson_per_au(labels, guesses), [1.0, NAN])


def test_inter_au_correlation_and_its_mean():
    aus = np.array([[0, 0, 1.0, 7], [1, 2, 0.0, 7], [2, 4, 1.0, 7], [3, 6, 0.0, 7]], float)
    matrix = inter_au_correlation(aus)
    assert matrix[0, 1] == pytest.approx(1.0)
    assert np.isnan(matrix[3, 0])
    r = -1 / np.sqrt(5)
    assert matrix[0, 2] == pytest.approx(r)
    assert mean_abs_correlation(matrix) == pytest.approx((1 + 2 * abs(r)) / 3)


def test_jaccard_of_active_sets():
    intended = np.array([[1, 0, 0], [1, 1, 0], [0, 0, 0], [0, 0, 0], [1, NAN, 0]], float)
    detected = np.array([[1, 1, 0], [0, 1, 0], [0, 0, 0], [1, 0, 0], [1, 1, 0]], float)
    np.testing.assert_allclose(jaccard(intended, detected), [1 / 2, 1 / 2, 1, 0, 1])


def test_au_recall_counts_all_aus_together():
    labels = np.array([[1, 0], [1, 1], [NAN, 1]], float)
    detected = np.array([[1, 1], [0, 1], [1, 0]], float)
    assert au_recall(labels, detected) == pytest.approx(2 / 4)


def separable(au: int, low: float, high: float) -> tuple[np.ndarray, np.ndarray]:
    """Labels and readings of 200 faces; those of 60 that show the AU are above `high`, others below
    `low`."""
    labels, predictions = np.zeros((200, len(AUS))), np.zeros((200, len(AUS)))
    labels[:60, au] = 0.6
    predictions[:, au] = np.linspace(0, low, 200)
    predictions[:60, au] = np.linspace(high, 0.6, 60)
    return labels, predictions


def test_thresholds_separate_what_is_separable():
    labels, predictions = separable(0, 0.15, 0.35)
    thresholds = choose_thresholds(labels, predictions)
    assert 0.15 < thresholds[0] < 0.35
    assert f1_per_au(presence(labels), presence(predictions, thresholds))[0] == 1


def test_thresholds_are_drawn_towards_those_of_the_other_aus():
    (labels, low), (others, high) = separable(0, 0.1, 0.12), separable(1, 0.4, 0.42)
    alone = choose_thresholds(labels, low)[0], choose_thresholds(others, high)[1]
    thresholds = choose_thresholds(labels + others, low + high)
    mean = np.mean(alone)
    np.testing.assert_allclose(thresholds[:2], mean + (alone - mean) / 3)
    np.testing.assert_allclose(thresholds[2:], mean)  # never present: nothing to choose by


def test_without_any_shown_au_thresholds_are_those_of_labels():
    unlabelled = np.full((5, len(AUS)), NAN)
    np.testing.assert_allclose(choose_thresholds(unlabelled, np.zeros((5, len(AUS)))), 0.1)


def test_cosine_distance_and_verification():
    first = np.array([[1.0, 0], [1, 0], [1, 0]])
    second = np.array([[2.0, 0], [0, 3], [-1, 0]])
    distances = cosine_distance(first, second)
    np.testing.assert_allclose(distances, [0, 1, 2])
    assert verification_auc(distances, [True, True, False]) == 1
    assert verification_auc(distances, [False, False, True]) == 0


def test_equal_error_rate_of_known_pairs():
    same = np.repeat([True, False], 4)
    apart = [0.1, 0.2, 0.3, 0.4, 0.6, 0.7, 0.8, 0.9]
    assert equal_error_rate(apart, same) == (0, pytest.approx(0.4))
    mixed = [0.1, 0.2, 0.3, 0.8, 0.35, 0.85, 0.9, 1.0]
    assert equal_error_rate(mixed, same) == (0.25, pytest.approx(0.35))


def test_long_form_names_every_entry():
    matrix = np.arange(len(AUS) ** 2).reshape(len(AUS), -1)
    table = long_form(matrix, "absent", "present", "fpr").set_index(["absent", "present"])["fpr"]
    assert table["AU01", "AU02"] == 1 and table["AU02", "AU01"] == len(AUS)


def test_standard_error_over_seeds():
    summary = over_seeds([1.0, 2.0, 3.0])
    assert summary["mean"] == 2
    assert summary["se"] == pytest.approx(1 / np.sqrt(3))
    assert np.isnan(over_seeds([1.0])["se"])


def test_people_are_resampled_whole():
    subjects = np.repeat(["a", "b"], 50)
    values = np.repeat([0.0, 1.0], 50)
    low, high = cluster_bootstrap(subjects, lambda rows: values[rows].mean(), seed=0)
    assert (low, high) == (0, 1)  # with two people, means of 0, 1/2 and 1 are all likely
    low, high = cluster_bootstrap(np.arange(100), lambda rows: values[rows].mean(), seed=0)
    assert 0.35 < low < 0.45 and 0.55 < high < 0.65


def test_shapes_must_agree():
    with pytest.raises(FacsimileError, match="differ"):
        f1_per_au(np.zeros((2, 3)), np.zeros((3, 3)))


def test_aus_that_a_detector_cannot_read_are_not_counted():
    labels = np.array([[1, 0, 1], [0, 1, 1], [1, 1, 0], [0, 0, 1]], float)
    detected = labels.copy()
    detected[:, 1] = NAN
    np.testing.assert_array_equal(f1_per_au(labels, detected), [1, NAN, 1])
    rates = au_pair_fpr(labels, detected)
    assert np.isnan(rates[1]).all() and rates[0, 1] == 0 and rates[2, 1] == 0
    predictions = np.where(np.isnan(detected), NAN, labels * 0.5 + 0.1)
    assert np.isnan(pearson_per_au(labels, predictions)).tolist() == [False, True, False]
    assert np.isnan(icc_3_1(labels, predictions)).tolist() == [False, True, False]


def test_an_interval_of_nothing_is_not_defined():
    low, high = cluster_bootstrap(["a", "b"], lambda rows: NAN, seed=0, draws=5)
    assert np.isnan(low) and np.isnan(high)
