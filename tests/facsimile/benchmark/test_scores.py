"""Scores of editors, from readings whose scores are known."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import pytest

from facsimile.benchmark import CONTESTANTS
from facsimile.benchmark.contestants import CLAIMS
from facsimile.benchmark.measuring import LABELS, READINGS
from facsimile.benchmark.scores import LOWER_IS_BETTER, best, check_claims, summarise
from facsimile.editor_options import OPTIONS
from facsimile.faces.aus import AUS
from facsimile.paper.edit_fidelity import READ

PAIRS = 40


def compared(error: float, drift: Sequence[float]) -> pd.DataFrame:
    """Pairs whose readings are `error` above labels that are evenly spread."""
    labels = np.tile(np.linspace(0, 0.8, PAIRS)[:, None], (1, len(AUS)))
    scores = {"au_mae": error, "ssim": 0.9, "psnr": 30.0, "l1": 0.1, "seconds": 0.5}
    distances = {"expression_distance": 2.0, "content_distance": 1.5}
    return pd.DataFrame(
        {
            "n_aus": np.arange(PAIRS) % 2 + 1,
            **{name: [value] * PAIRS for name, value in (scores | distances).items()},
            "drift": drift,
            "drift_from_source": drift,
            **dict(zip(READINGS, labels.T + error, strict=True)),
            **dict(zip(LABELS, labels.T, strict=True)),
        }
    )


def single_edits(leak: float) -> pd.DataFrame:
    """Edits that raise their AU by s, and all others by `leak`."""
    rows = []
    for s in (0.5, 1.0):
        for au in AUS:
            change = dict.fromkeys(READ, leak * s) | {au: s}
            rows += [change | {"edited_au": au, "s": s}] * 3
    return pd.DataFrame(rows)


def scored(error: float = 0.1, leak: float = 0.2) -> dict:
    drift = np.where(np.arange(PAIRS) < 10, 0.8, 0.2)
    tables = {name: compared(error, drift) for name in ("pairs", "neutral", "zero", "copied")}
    embeddings = np.random.default_rng(0).normal(size=(PAIRS, 4))
    return summarise(
        tables | {"singles": single_edits(leak)}, embeddings, embeddings, {"AU26": ("AU25",)}, 0.6
    )


def test_scores_are_those_of_the_tables() -> None:
    scores = scored()
    assert set(scores) == {*LOWER_IS_BETTER, "au_mae_by_count"}
    assert scores["mse"] == pytest.approx(0.01)
    assert scores["icc"] == pytest.approx(1)  # a constant error does not change consistency
    assert scores["au_mae_by_count"] == {1: pytest.approx(0.1), 2: pytest.approx(0.1)}
    assert scores["drift"] == pytest.approx(0.35) and scores["lost"] == 0.25
    assert scores["frechet"] == pytest.approx(0, abs=1e-6)
    assert scores["on_target"] == pytest.approx(1) and scores["leakage"] == pytest.approx(0.2)
    assert scores["linearity"] == pytest.approx(1)
    assert scores["faces_per_second"] == 2


def test_claims_are_checked_by_the_direction_of_each_score() -> None:
    low, high = scored(error=0.05), scored(error=0.1)
    names = {claim.better for claim in CLAIMS} | {claim.worse for claim in CLAIMS}
    assert names <= set(CONTESTANTS)
    rows = check_claims({"dual-branch": low, "single-branch": high})
    assert [row["score"] for row in rows] == ["neutral_mse", "neutral_drift"]
    assert [row["holds"] for row in rows] == [True, None]  # drifts are equal
    turned = check_claims({"dual-branch": high, "single-branch": low})
    assert not turned[0]["holds"]
    better, worse = low | {"zero_psnr": 31, "zero_ssim": 0.8}, low | {"zero_psnr": 30}
    rows = check_claims({"relative": better, "absolute": worse})
    assert [row["holds"] for row in rows] == [None, True, False]


def test_the_best_is_the_lowest_or_the_highest() -> None:
    scores = {"a": {"au_mae": 0.2, "icc": 0.5}, "b": {"au_mae": 0.1, "icc": 0.4}}
    scores["c"] = dict.fromkeys(("au_mae", "icc"), float("nan"))
    assert best(scores, "au_mae") == "b" and best(scores, "icc") == "a"


def test_all_scores_of_claims_exist_and_all_methods_compete() -> None:
    assert {score for claim in CLAIMS for score in claim.scores} <= set(LOWER_IS_BETTER)
    for name, contestant in CONTESTANTS.items():
        options = OPTIONS[contestant.method]()
        assert set(contestant.changed) <= set(type(options).model_fields), name
    assert {each.method for each in CONTESTANTS.values()} == set(OPTIONS)
