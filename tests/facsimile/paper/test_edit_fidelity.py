"""Scores of edits, from readings and pictures whose scores are known."""

import numpy as np
import pandas as pd
import pytest

from facsimile.errors import FacsimileError
from facsimile.faces.aus import NUISANCES
from facsimile.faces.tables import to_tensor
from facsimile.generator.evaluation import fidelity
from facsimile.paper.edit_fidelity import (
    COMPARED,
    READ,
    SCORES,
    compare_editors,
    linearity_of,
    measure_effects,
    measure_linearity,
    score_pairs,
    summarise_effects,
    summarise_pairs,
)
from tests.support.faces import noise_images


def test_scores_of_a_pair():
    images, targets = noise_images(3, 16, seed=0), noise_images(3, 16, seed=1)
    targets[1] = images[1]
    readings, wanted = np.zeros((3, 12)), np.zeros((3, 12))
    readings[0, 0], wanted[0, 1] = 0.6, 0.6
    readings[2, 5] = wanted[2, 5] = np.nan
    labels = np.full((3, 12), 0.1)
    labels[2, 1:] = np.nan
    faces, others = np.eye(3), np.eye(3)
    others[2] = [1, 0, 1]
    scores = score_pairs(readings, wanted, labels, faces, others, images, targets)
    assert scores["au_mae"].tolist() == pytest.approx([0.1, 0.0, 0.0])
    assert scores["au_mae_labels"].tolist() == pytest.approx([(0.5 + 11 * 0.1) / 12, 0.1, 0.1])
    assert scores["error_AU01"].tolist() == pytest.approx([0.6, 0.0, 0.0])
    assert np.isnan(scores["error_AU09"][2]) and scores["error_AU09"][1] == 0
    assert scores["drift"].tolist() == pytest.approx([0, 0, 1 - 0.5**0.5], abs=1e-9)
    assert scores["ssim"][1] == pytest.approx(1) and np.isinf(scores["psnr"][1])
    for row in (0, 2):
        ssim, psnr = fidelity(to_tensor(images[[row]]), to_tensor(targets[[row]]))
        assert scores["ssim"][row] == pytest.approx(ssim, abs=1e-5)
        assert scores["psnr"][row] == pytest.approx(psnr, abs=1e-4)


def pair_table(**au_mae: list[float]) -> pd.DataFrame:
    """Two pairs of person a, one of b, one of c, edited by each editor."""
    parts = []
    for editor, values in au_mae.items():
        rows = pd.DataFrame({"pair_id": list("wxyz"), "subject_id": list("aabc")})
        rows = rows.assign(editor=editor, n_aus=[1, 2, 1, 2], **dict.fromkeys(SCORES, 0.5))
        parts.append(rows.assign(au_mae=values))
    return pd.concat(parts, ignore_index=True)


def test_errors_are_those_of_means_of_people():
    pairs = pair_table(one=[0.0, 0.2, 0.3, 0.5])
    pairs["drift"] = [0.1, 0.7, 0.1, 0.9]
    (row,) = summarise_pairs(pairs, ["editor"], 0.6).to_dict("records")
    assert row["pairs"] == 4 and row["people"] == 3 and row["editor"] == "one"
    assert row["au_mae"] == pytest.approx(0.25)
    assert row["au_mae_se"] == pytest.approx(0.2 / 3**0.5)  # of 0.1, 0.3 and 0.5
    assert row["lost"] == 0.5 and row["ssim_se"] == 0
    by_count = summarise_pairs(pairs, ["editor", "n_aus"], 0.6).set_index("n_aus")
    assert by_count["au_mae"].to_dict() == pytest.approx({1: 0.15, 2: 0.35})
    one = summarise_pairs(pairs.head(2), ["editor"], 0.6)
    assert np.isnan(one["au_mae_se"][0])


def test_editors_are_compared_on_the_same_pairs():
    pairs = pair_table(old=[0.1, 0.5, 0.2, 0.9], new=[0.0, 0.4, 0.1, 0.8])
    table = compare_editors(pairs.sample(frac=1, random_state=0), "old", seed=0)
    assert set(table["editor"]) == {"new"} and list(table["score"]) == list(COMPARED)
    row = table.iloc[0]  # the same for everybody, however different the people
    assert (row["difference"], row["low"], row["high"]) == pytest.approx((-0.1, -0.1, -0.1))
    with pytest.raises(FacsimileError, match="no pair was edited by 'base'"):
        compare_editors(pairs, "base", seed=0)


def single_table() -> pd.DataFrame:
    """Edits of AU04 and AU26 of two faces."""
    rows = pd.DataFrame(0.0, index=range(4), columns=list(READ))
    rows = rows.assign(editor="mine", edited_au=["AU04", "AU04", "AU26", "AU26"], s=1.0)
    rows["AU04"] = [0.8, 0.6, 0.1, 0.1]
    rows["AU26"] = [0.0, 0.0, 1.0, 1.0]
    rows["AU25"] = [0.2, -0.2, 0.9, 0.7]
    rows["beard"] = [0.4, -0.4, 0.0, 0.0]
    return rows


def test_opposite_changes_of_two_faces_do_not_cancel():
    exact = pd.DataFrame(0.0, index=range(4), columns=[f"exact_{name}" for name in READ])
    exact["exact_AU25"] = [0.1, 0.0, np.nan, np.nan]
    effects = measure_effects(pd.concat([single_table(), exact], axis=1))
    assert len(effects) == 2 * len(READ) and (effects["n"] == 2).all()
    cell = effects.set_index(["edited_au", "read"]).loc[("AU04", "AU25")]
    assert cell["signed"] == 0 and cell["absolute"] == pytest.approx(0.2)
    assert cell["deviation"] == pytest.approx((0.1 + 0.2) / 2)
    assert np.isnan(effects.set_index(["edited_au", "read"]).at[("AU26", "AU25"), "deviation"])
    assert measure_effects(single_table())["deviation"].isna().all()


def test_leakage_is_what_others_change_by():
    effects = measure_effects(single_table())
    summary = summarise_effects(effects, {"AU26": ["AU25"]}).iloc[0]
    assert summary["on_target"] == pytest.approx((0.7 + 1.0) / 2)
    # AU04: AU25 changes by .2; AU26: AU04 changes by .1, and AU25 follows the jaw.
    assert summary["leakage"] == pytest.approx((0.2 + 0.1) / (11 + 10))
    assert summary["leakage_signed"] == pytest.approx(0.1 / (11 + 10))
    assert summary["nuisances"] == pytest.approx(0.4 / (2 * len(NUISANCES)))
    assert summary["nuisances_signed"] == 0 and np.isnan(summary["deviation"])


def test_linearity():
    rows = single_table().query("edited_au == 'AU04'")
    table = pd.concat(
        rows.assign(s=s, **{name: rows[name] * rise for name in READ})
        for s, rise in ((0.5, 0.5), (1.0, 1.0), (-0.5, -0.5))
    )
    linear = measure_linearity(table, {})
    assert linear["s"].tolist() == [-0.5, 0.5, 1.0] and (linear["n"] == 2).all()
    assert linear["on_target"].tolist() == pytest.approx([-0.35, 0.35, 0.7])
    assert linear["off_target"].tolist() == pytest.approx([0.1 / 11, 0.1 / 11, 0.2 / 11])
    values = linearity_of(linear)
    assert values == pytest.approx({"r2": 1, "rise_-0.5": -0.35, "rise_0.5": 0.35, "rise_1": 0.7})
    bent = linear.assign(on_target=[0.0, 0.0, 0.7])
    assert linearity_of(bent)["r2"] < 0.7
    assert np.isnan(linearity_of(linear.assign(on_target=0.0))["r2"])
