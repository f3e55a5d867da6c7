import numpy as np
import pytest

from facsimile.errors import FacsimileError
from facsimile.faces.aus import AUS
from facsimile.measurement import au_pair_fpr, f1_per_au, mean_defined
from facsimile.paper.resampling import F1Counts, PairFPRCounts, compare_arms

K = len(AUS)
KEPT = np.array([au != "AU05" for au in AUS])


def mean_f1(truth, detected):
    return mean_defined(f1_per_au(truth, detected))


def mean_pair_fpr(truth, detected):
    return mean_defined(au_pair_fpr(truth, detected))


STATISTICS = [
    (F1Counts(), mean_f1, KEPT | True),
    (F1Counts(without=("AU05",)), mean_f1, KEPT),
    (PairFPRCounts(), mean_pair_fpr, KEPT | True),
    (PairFPRCounts(without=("AU05",)), mean_pair_fpr, KEPT),
]


@pytest.fixture
def world():
    """Presence, people and detections (2 arms × 3 seeds) of 90 faces; arm b errs less."""
    rng = np.random.default_rng(0)
    truth = (rng.random((90, K)) < 0.2).astype(float)
    truth[rng.random((90, K)) < 0.05] = np.nan
    truth[:, 7] = np.nan  # not annotated at all
    people = rng.permutation(np.repeat([f"p{n}" for n in range(9)], 10))
    arms = []
    for errors in (0.3, 0.1):
        flips = rng.random((3, 90, K)) < errors
        arms.append(np.where(flips, 1 - np.nan_to_num(truth), np.nan_to_num(truth)))
    arms[0][1][:, 2] = np.nan  # not learnt by one detector
    return truth, people, *arms


@pytest.mark.parametrize(("statistic", "direct", "kept"), STATISTICS)
def test_counts_give_the_scores_of_resampled_rows(world, statistic, direct, kept):
    truth, people, worse, _ = world
    rng = np.random.default_rng(1)
    for detected in worse:
        counts = statistic.per_person(truth, detected, people)
        weights = rng.multinomial(9, np.full(9, 1 / 9), size=5)
        scores = statistic.score(np.tensordot(weights, counts, axes=1))
        for weight, score in zip(weights, scores, strict=True):
            rows = rows_of(people, weight)
            expected = direct(truth[rows][:, kept], detected[rows][:, kept])
            assert score == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(("statistic", "direct", "kept"), STATISTICS)
def test_differences_are_those_of_a_bootstrap_over_rows(world, statistic, direct, kept):
    truth, people, *arms = world
    arms[1] = arms[1][:1]  # a single seed stays
    found = compare_arms(truth, people, *arms, statistic, seed=3, draws=40)

    def difference(rows, *seeds):
        scores = [
            np.mean([direct(truth[rows][:, kept], arm[s][rows][:, kept]) for s in chosen])
            for arm, chosen in zip(arms, seeds, strict=True)
        ]
        return scores[1] - scores[0]

    rng = np.random.default_rng(3)
    weights = rng.multinomial(9, np.full(9, 1 / 9), size=40)
    seeds = [rng.integers(len(arm), size=(40, len(arm))) for arm in arms]
    values = [
        difference(rows_of(people, weight), *chosen)
        for weight, *chosen in zip(weights, *seeds, strict=True)
    ]
    assert found.mean == pytest.approx(difference(np.arange(90), range(3), range(1)))
    assert (found.low, found.high) == pytest.approx(tuple(np.quantile(values, [0.025, 0.975])))
    rarer = min(np.sum(np.array(values) <= 0), np.sum(np.array(values) >= 0))
    assert found.p == pytest.approx(min(1, 2 * (rarer + 1) / 41))


def test_a_clear_difference_is_significant_and_none_is_not(world):
    truth, people, worse, better = world
    gain = compare_arms(truth, people, worse, better, F1Counts(), seed=0)
    assert 0 < gain.low < gain.mean < gain.high and gain.p == pytest.approx(2 / 501)
    drop = compare_arms(truth, people, better, worse, F1Counts(), seed=0)
    assert drop.mean == pytest.approx(-gain.mean) and drop.p < 0.01
    same = compare_arms(truth, people, better[:1], better[:1], F1Counts(), seed=0)
    assert (same.mean, same.low, same.high, same.p) == (0, 0, 0, 1)


def test_resampling_seeds_widens_the_interval(world):
    truth, people, worse, better = world
    seeds = np.stack([better[0], worse[0]])  # one good and one bad
    single, double = (
        compare_arms(truth, people, worse[:1], arm, F1Counts(), seed=0)
        for arm in (better[:1], seeds)
    )
    assert double.high - double.low > 1.5 * (single.high - single.low)


def test_differences_without_a_present_au_are_undefined(world):
    truth, people, worse, better = world
    none = compare_arms(np.zeros_like(truth), people, worse, better, F1Counts(), seed=0, draws=5)
    assert np.isnan([none.mean, none.low, none.high, none.p]).all()


def test_errors(world):
    truth, people, worse, better = world
    with pytest.raises(FacsimileError, match="AU99 is not one of AU01"):
        compare_arms(truth, people, worse, better, F1Counts(without=("AU99",)), seed=0)
    with pytest.raises(FacsimileError, match="an arm has no detections"):
        compare_arms(truth, people, worse, [], F1Counts(), seed=0)
    with pytest.raises(FacsimileError, match="90 faces, 89 subjects"):
        compare_arms(truth, people[1:], worse, better, F1Counts(), seed=0)


def rows_of(people: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Rows of the people, each repeated as often as drawn."""
    names = np.unique(people)
    rows = [np.tile(np.flatnonzero(people == n), w) for n, w in zip(names, weights, strict=True)]
    return np.concatenate(rows)
