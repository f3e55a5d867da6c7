"""The test that a challenger must pass: overall, for each AU, and with few people."""

import numpy as np
import pytest
from scipy import stats

from facsimile.detection.model_comparison import (
    ModelComparison,
    PromotionRule,
    compare_models,
    lower_bound,
)
from facsimile.errors import FacsimileError
from facsimile.faces.aus import AUS

PEOPLE, EACH = 6, 40
NAMES = np.repeat([f"p{n}" for n in range(PEOPLE)], EACH)


def labels(seed: int = 0) -> np.ndarray:
    return (np.random.default_rng(seed).random((PEOPLE * EACH, len(AUS))) < 0.3).astype(float)


def mistaken(truth: np.ndarray, share: float, seed: int) -> np.ndarray:
    """Detections that are wrong in a share of the cases."""
    wrong = np.random.default_rng(seed).random(truth.shape) < share
    return np.where(wrong, 1 - truth, truth)


def compare(champion: np.ndarray, challenger: np.ndarray, **rule: object) -> ModelComparison:
    return compare_models(labels(), NAMES, champion, challenger, PromotionRule(**rule))


def test_a_better_challenger_passes_and_a_worse_one_is_refused() -> None:
    good, bad = mistaken(labels(), 0.05, 1), mistaken(labels(), 0.2, 2)
    better = compare(bad, good)
    assert better.refusals == () and better.difference > better.lower_bound > 0
    worse = compare(good, bad)
    assert worse.difference == -better.difference
    assert worse.refusals[0].startswith("mean F1 may be 0.")
    assert "6 validation people, 240 faces" in str(worse)


def test_an_equal_challenger_passes_without_margin() -> None:
    same = mistaken(labels(), 0.1, 1)
    result = compare(same, same, margin=0)
    assert (result.refusals, result.lower_bound) == ((), 0)


def test_an_uncertain_challenger_is_refused() -> None:
    """It is better on average, by its gain on a single person."""
    champion = mistaken(labels(), 0.2, 1)
    challenger = mistaken(labels(), 0.21, 2)
    challenger[NAMES == "p0"] = labels()[NAMES == "p0"]
    result = compare(champion, challenger, au_tolerance=1)
    assert result.difference > 0 > result.lower_bound
    assert len(result.refusals) == 1 and "mean F1 may be" in result.refusals[0]


def test_one_broken_au_is_refused_unless_tolerated() -> None:
    champion = mistaken(labels(), 0.1, 1)
    broken = champion.copy()
    broken[:, AUS.index("AU09")] = 1 - broken[:, AUS.index("AU09")]
    result = compare(champion, broken, margin=1)
    (refusal,) = result.refusals
    assert refusal.startswith("AU09: F1 0.") and refusal.endswith("lower, tolerance 0.1")
    assert compare(champion, broken, margin=1, au_tolerances={"AU09": 1.0}).refusals == ()
    assert len(compare(champion, broken, margin=1, au_tolerances={"AU12": 1.0}).refusals) == 1


def test_an_au_that_is_no_longer_learnt_is_refused_and_a_new_one_is_ignored() -> None:
    detected = mistaken(labels(), 0.1, 1)
    fewer = detected.copy()
    fewer[:, 0] = np.nan
    assert compare(detected, fewer).refusals == ("AU01: not learnt, unlike by the champion",)
    result = compare(fewer, detected)
    assert result.refusals == () and "AU01" not in result.per_au.index


def test_a_single_person_is_too_few() -> None:
    result = compare_models(
        labels()[:EACH], NAMES[:EACH], labels()[:EACH], labels()[:EACH], PromotionRule()
    )
    assert "two validation people" in result.refusals[0]
    with pytest.raises(FacsimileError, match="no validation faces"):
        compare_models(*[np.empty((0, 12))] * 4, PromotionRule())


def test_the_bound_of_a_mean_is_that_of_the_paired_t_test() -> None:
    differences = np.random.default_rng(0).normal(size=PEOPLE * EACH)
    people = np.repeat(np.arange(PEOPLE), EACH)
    of_people = differences.reshape(PEOPLE, EACH).mean(1)
    expected = stats.ttest_1samp(of_people, 0, alternative="greater").confidence_interval(0.95).low
    found = lower_bound(people, lambda rows: float(differences[rows].mean()))
    assert found == pytest.approx(expected)


def test_a_tolerance_names_an_au() -> None:
    with pytest.raises(FacsimileError, match="AU99: not an AU"):
        PromotionRule(au_tolerances={"AU99": 0.1})
