import numpy as np
import pytest

from facsimile.faces.aus import AUS
from facsimile.files import to_json
from facsimile.measurement import DetectorRun, DomainScores, score_detectors

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


def test_other_test_sets_are_kept_apart(labels):
    people = np.repeat(np.arange(12), 10).astype(str)
    thresholds = np.full(K, 0.1)
    perfect, blind = (
        score_detectors(labels, people, [DetectorRun("real", 0, predictions, thresholds)])
        for predictions in (np.nan_to_num(labels), np.ones((120, K)))
    )
    scores = DomainScores({"own": perfect, "other": blind})
    metrics = scores.metrics()
    assert metrics["f1"]["real"]["mean"] == 1
    assert list(metrics["cross_dataset"]) == ["other"]
    assert metrics["cross_dataset"]["other"]["f1"]["real"]["mean"] < 1
    tables = scores.tables()
    assert tables["detection"].groupby("test_set", sort=False)["f1"].mean()["own"] == 1
    assert tables["detection"]["test_set"].unique().tolist() == ["own", "other"]
    pairs = tables["au_pair_fpr"]
    assert len(pairs) == K * K and pairs["fpr"].max() == 0  # of the own test set alone
