import numpy as np
import pandas as pd
import pytest

from facsimile.faces.aus import AUS
from facsimile.measurement import (
    CorrelationScores,
    count_aus,
    edit_effects,
    filter_metrics,
    oracle_metrics,
    score_correlations,
    score_edits,
    score_neutralization,
)

K = len(AUS)


def test_edit_effects_per_unit():
    before = np.zeros((3, K))
    after = np.zeros((3, K))
    after[0, 0], after[1, 0] = 0.5, 0.8  # AU01 was to reach 0.5 and 1
    after[:2, 1] = 0.1, -0.1  # AU02 rises on one face and falls on the other
    after[2, 2] = 1.0
    edits = pd.DataFrame({"edited_au": ["AU01", "AU01", "AU04"], "intensity": [0.5, 1.0, 1.0]})
    effects = edit_effects(before, after, edits["edited_au"], edits["intensity"])
    assert effects.loc["AU01", "AU01"] == pytest.approx(0.9)
    assert effects.loc["AU01", "AU02"] == pytest.approx(0.05)
    assert effects.loc["AU05"].isna().all()

    scores = score_edits(before, after, np.eye(3), np.eye(3)[[0, 0, 0]], edits, threshold=0.4)
    pd.testing.assert_frame_equal(scores.effects, effects)
    edit, identity = scores.metrics()["edit"], scores.metrics()["identity"]
    assert edit["on_target"] == pytest.approx(0.95)
    assert edit["off_target"] == pytest.approx((0.2 + 0.1) / 33)  # nothing cancels
    assert edit["on_target_per_au"]["AU04"] == 1
    assert identity["drift"] == identity["lost"] == pytest.approx(2 / 3)
    assert identity["threshold"] == 0.4
    assert scores.tables()["edit_effects"].columns.tolist() == ["edited_au", *AUS]


def test_correlations_of_the_three_panels():
    labels = np.random.default_rng(0).random((50, K))
    scores = score_correlations(labels, labels, np.eye(K))
    means = scores.metrics()["inter_au_correlation"]
    assert means["labels_real"] == means["estimator_real"]
    assert means["estimator_generated"] == pytest.approx(1 / (K - 1))
    table = scores.tables()["correlations"].set_index(["panel", "au", "other"])["r"]
    assert table["labels_real", "AU01", "AU01"] == 1
    assert table["labels_real", "AU01", "AU04"] == pytest.approx(
        np.corrcoef(labels[:, 0], labels[:, 2])[0, 1]
    )
    assert isinstance(scores, CorrelationScores) and len(table) == 3 * K * K


def test_neutralization_is_scored_by_recall_and_residual_activity():
    labels = np.zeros((2, K))
    labels[:, :2] = [[0.5, 0.0], [0.2, 0.4]]
    scores = score_neutralization(
        np.full((2, K), 0.4), np.full((2, K), -0.1), val_labels=labels, val_predictions=labels * 0.3
    )
    assert scores.metrics()["neutralization"] == {
        "recall": pytest.approx(2 / 3),
        "residual_before": pytest.approx(0.4),
        "residual_after": 0,
    }
    activity = scores.tables()["activity"].set_index("au")
    assert activity.loc["AU12"].tolist() == pytest.approx([0.4, -0.1])


def test_readings_of_other_aus_take_no_part_in_residual_activity():
    before = np.array([[0.4, np.nan], [0.2, np.nan]], np.float32)
    labels = np.array([[0.5, np.nan]])
    scores = score_neutralization(before, before, val_labels=labels, val_predictions=labels * 0)
    assert scores.metrics()["neutralization"]["residual_before"] == pytest.approx(0.3)


def test_decisions_are_counted():
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


def test_active_and_annotated_faces_are_counted_by_origin():
    faces = pd.DataFrame(np.nan, range(3), ["origin", *AUS]).astype({"origin": object})
    faces["origin"] = ["real", "real", "edited"]
    faces["AU01"] = [0.0, 0.5, 0.1]
    faces.loc[0, "AU04"] = 0.0
    counts = count_aus(faces).set_index(["origin", "au"])
    assert counts.loc[("real", "AU01")].tolist() == [1, 2]
    assert counts.loc[("edited", "AU01")].tolist() == [1, 1]
    assert counts.loc[("real", "AU04")].tolist() == [0, 1]
    assert ("edited", "AU04") not in counts.index


def test_agreement_of_the_oracle():
    labels = np.random.default_rng(0).random((20, K))
    agreement = oracle_metrics(labels, labels * 0.5)
    assert agreement["pearson"] == pytest.approx(1)
    assert agreement["icc_per_au"]["AU01"] == pytest.approx(0.8)
