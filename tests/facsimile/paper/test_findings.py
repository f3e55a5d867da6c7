"""What is measured of each claim, on detectors with errors of known size."""

from dataclasses import replace

import numpy as np
import pytest

from facsimile.faces.annotation import presence
from facsimile.faces.arms import ALL_GENERATED
from facsimile.faces.aus import AUS
from facsimile.faces.origins import REAL
from facsimile.measurement.metrics import f1_per_au
from facsimile.paper import TRIALS, findings
from facsimile.paper.comparisons import Comparisons


def test_scores_are_those_of_each_detector(scene) -> None:
    compared = scene.comparisons
    people = compared.people["population"]
    run = compared.arms[REAL][1]
    detected = presence(run.predictions["population"], run.thresholds)
    expected = f1_per_au(presence(people.labels), detected)
    scores = compared.scores(REAL, "population")
    assert scores["f1"]["per_seed"][1] == pytest.approx(expected.mean())
    without = np.delete(expected, AUS.index("AU05")).mean()
    assert scores["f1_without_AU05"]["per_seed"][1] == pytest.approx(without)
    assert list(scores["f1_per_au"]) == list(AUS)


def test_a_difference_is_that_of_the_means_and_its_interval_covers_it(scene) -> None:
    compared = scene.comparisons
    real, generated = (compared.scores(a, "population")["f1"] for a in (REAL, ALL_GENERATED))
    gain = compared.difference(REAL, ALL_GENERATED, "population")
    assert gain["mean"] == pytest.approx(generated["mean"] - real["mean"])
    assert 0 < gain["low"] < gain["mean"] < gain["high"]
    assert gain["p"] < 0.05


def test_lengths_are_chosen_on_validation_people_only(scene, sections) -> None:
    chosen = sections["detection"]["sets"]["population"]["best"]["arms"]
    by_length = sections["detection"]["validation_f1_by_length"]
    for arm, name in zip((REAL, ALL_GENERATED), chosen, strict=True):
        assert by_length[arm][name] == max(by_length[arm].values())
    # What the people to measure on show has no influence.
    people = dict(scene.comparisons.people)
    people["population"] = replace(people["population"], labels=people["population"].labels[::-1])
    other = Comparisons(people, scene.comparisons.arms, seed=0, draws=20)
    changed = findings.detection(replace(scene, comparisons=other))
    assert changed["sets"]["population"]["best"]["arms"] == chosen


def test_occurrence_and_correlation(sections) -> None:
    occurrence = sections["occurrence"]
    assert occurrence["real"]["ratio"] == 12
    assert occurrence["generated"]["ratio"] == 1
    assert occurrence["both"]["ratio"] == pytest.approx(220 / 110)
    correlation = sections["correlation"]
    assert correlation["ratio"] == pytest.approx(0.25)
    assert correlation["most_reduced"][0]["generated"] == pytest.approx(0.05)


def test_worth_of_generated_faces(sections) -> None:
    curve = sections["learning_curve"]
    sizes = [point["size"] for point in curve["people"]["points"]]
    assert sizes == [17 * amount for amount in (0.25, 0.5, 1, 2, 5)]
    share = curve["ceilings"]["further"]["share_of_gain"]
    assert 0 < share < 1  # its detectors are better than those of generated faces
    assert curve["ceilings"]["balanced"]["share_of_gain"] > 1


def test_ablation_compares_each_step_with_the_one_before(scene, sections) -> None:
    arms = sections["ablation"]["arms"]
    assert list(arms)[: len(findings.LADDER)] == list(findings.LADDER)
    assert arms["calibrated"]["step"]["from"] == "plain"
    assert arms["edited-only"]["step"]["from"] == REAL
    total = sum(arms[name]["step"]["mean"] for name in findings.LADDER)
    assert total == pytest.approx(arms[ALL_GENERATED]["gain"]["mean"])


def test_every_arm_is_shown_somewhere() -> None:
    shown = {*findings.LADDER, *findings.ALONE, *findings.STRATEGIES, *findings.CEILINGS}
    shown |= {name for names in findings.LENGTHS.values() for name in names}
    shown |= {name for names in findings.CURVES.values() for name in names.values()}
    shown |= set(findings.AMOUNTS.values())
    assert shown == {REAL, ALL_GENERATED, *TRIALS}


def test_arms_that_were_not_trained_are_left_out(scene) -> None:
    compared = scene.comparisons
    without = ("people-2", "people-5", "further", "balanced")
    arms = {name: runs for name, runs in compared.arms.items() if name not in without}
    few = replace(scene, comparisons=Comparisons(compared.people, arms, seed=0, draws=20))
    curve = findings.learning_curve(few, 17, 2720)
    assert curve["ceilings"] == {}
    assert len(curve["people"]["points"]) == 3
    assert "exactly labelled" not in curve["finding"]


def test_gaps_between_groups(scene, sections) -> None:
    groups = sections["groups"]
    assert len(groups["f1"][REAL]) == 6
    scores = groups["f1"][REAL].values()
    assert groups["gap"][REAL] == pytest.approx(max(scores) - min(scores))
