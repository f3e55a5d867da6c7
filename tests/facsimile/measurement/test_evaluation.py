import json

import numpy as np
import pandas as pd
import pytest

from facsimile.faces.aus import AUS
from facsimile.files import to_json
from facsimile.measurement import (
    DetectorRun,
    correlation_metrics,
    edit_effects,
    edit_metrics,
    filter_metrics,
    identity_metrics,
    neutralization_metrics,
    oracle_metrics,
    score_detectors,
)

K = len(AUS)


@pytest.fixture
def labels() -> np.ndarray:
    rng = np.random.default_rng(0)
    labels = np.where(rng.random((120, K)) < 0.4, rng.uniform(0.2, 1, (120, K)), 0.0)
    labels[:, 3] = np.nan  # not annotated in this set
    return labels


def test_perfect_and_blind_detectors(labels):
    thresholds = np.full(K, 0.1)
    perfect = np.nan_to_num(labels)
    blind = np.ones_like(perfect)
    runs = [
        DetectorRun("real", 0, blind, thresholds),
        DetectorRun("real", 1, perfect, thresholds),
        DetectorRun("real+generated", 0, perfect, thresholds),
    ]
    scores = score_detectors(labels, np.repeat(np.arange(12), 10).astype(str), runs)
    metrics = scores.metrics()
    assert metrics["f1"]["real+generated"]["mean"] == 1
    assert metrics["au_pair_fpr"]["real+generated"]["mean"] == 0
    assert metrics["au_pair_fpr"]["real"]["per_seed"] == [1, 0]
    assert metrics["f1"]["real"]["mean"] < 1
    assert "AU05" not in metrics["f1"]["real"]["per_au"]
    low, high = metrics["f1"]["real+generated"]["gain_interval"]
    assert 0 < low <= 1 - metrics["f1"]["real"]["mean"] <= high
    assert scores.pair_fpr["real"][0, 1] == pytest.approx(0.5)


def test_edit_effects_per_unit():
    before = np.zeros((3, K))
    after = np.zeros((3, K))
    after[0, 0], after[1, 0] = 0.5, 0.8  # AU01 asked for 0.5 and 1
    after[:2, 1] = 0.1  # and AU02 follows
    after[2, 2] = 1.0
    effects = edit_effects(before, after, ["AU01", "AU01", "AU04"], [0.5, 1.0, 1.0])
    assert effects.loc["AU01", "AU01"] == pytest.approx(0.9)
    assert effects.loc["AU01", "AU02"] == pytest.approx(0.15)
    assert effects.loc["AU05"].isna().all()
    metrics = edit_metrics(effects)
    assert metrics["on_target"] == pytest.approx(0.95)
    assert metrics["off_target"] == pytest.approx(0.15 / 22)


def test_correlations_of_the_three_panels(labels):
    metrics, matrices = correlation_metrics(labels, labels, np.eye(K))
    assert metrics["labels_real"] == metrics["estimator_real"]
    assert metrics["estimator_generated"] == pytest.approx(1 / (K - 1))
    assert matrices["labels_real"].shape == (K, K)


def test_neutralization_identity_filter_and_oracle_figures():
    labels = np.array([[0.5, 0.0], [0.2, 0.4]])
    neutral = neutralization_metrics(
        np.full((2, 2), 0.4), np.full((2, 2), -0.1), val_labels=labels, val_predictions=labels * 0.3
    )
    assert neutral == {
        "recall": pytest.approx(2 / 3),
        "residual_before": pytest.approx(0.4),
        "residual_after": 0,
    }
    identity = identity_metrics(np.eye(2), np.array([[1.0, 0], [1, 0]]), threshold=0.4)
    assert identity["drift"] == pytest.approx(0.5)
    assert identity["lost"] == 0.5
    decisions = pd.DataFrame(
        {
            "origin": ["edited", "edited", "synthetic"],
            "edited_au": ["AU01", "AU04", "AU01"],
            "accepted": [True, False, False],
            "reason": [None, "identity", "realism"],
        }
    )
    assert filter_metrics(decisions) == {
        "candidates": 3,
        "accepted": 1,
        "acceptance_by_origin": {"edited": 0.5, "synthetic": 0},
        "accepted_by_au": {"AU01": 1},
        "rejected_by_reason": {"identity": 1, "realism": 1},
    }
    rng = np.random.default_rng(0)
    known = rng.random((20, K))
    oracle = oracle_metrics(known, known * 0.5)
    assert oracle["pearson"] == pytest.approx(1)
    assert oracle["icc_per_au"]["AU01"] == pytest.approx(0.8)


def test_json_has_no_nan():
    metrics = to_json({"a": np.float32("nan"), "b": {"c": [np.int64(1), float("inf")]}})
    assert json.dumps(metrics, allow_nan=False) == '{"a": null, "b": {"c": [1, null]}}'


def test_scores_are_of_aus_that_are_annotated_and_learnt(labels):
    predictions = np.nan_to_num(labels)
    predictions[:, 1:] = np.nan  # learnt AU01 alone
    thresholds = np.where(np.arange(K) == 0, 0.1, np.nan)
    runs = [DetectorRun(arm, 0, predictions, thresholds) for arm in ("real", "real+transferred")]
    people = np.repeat(np.arange(12), 10).astype(str)
    metrics = score_detectors(labels, people, runs).metrics()
    for scores in metrics["f1"].values():
        assert scores["per_au"] == {"AU01": 1} and scores["mean"] == 1
    assert metrics["f1"]["real+transferred"]["gain_interval"] == [0, 0]

    elsewhere = labels.copy()
    elsewhere[:, 0] = np.nan
    metrics = to_json(score_detectors(elsewhere, people, runs).metrics())
    for scores in metrics["f1"].values():
        assert scores["per_au"] == {} and scores["mean"] is None
    assert metrics["f1"]["real+transferred"]["gain_interval"] == [None, None]


def test_readings_of_other_aus_take_no_part_in_residual_activity():
    before = np.array([[0.4, np.nan], [0.2, np.nan]], np.float32)
    labels = np.array([[0.5, np.nan]])
    found = neutralization_metrics(before, before, val_labels=labels, val_predictions=labels * 0)
    assert found["residual_before"] == pytest.approx(0.3)
