"""What was measured of each claim, and in one sentence what it means.

Source: "Controlled Face Manipulation and Synthesis for Data Augmentation", IV. Each function
returns the values of one section of results.json; ``finding`` is the sentence. Scores are measured
on the set that `Scene.main` names: the population where there is one, otherwise the test people.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from facsimile.faces.arms import ALL_GENERATED
from facsimile.faces.origins import REAL
from facsimile.paper.comparisons import F1_WITHOUT_AU05, PAIR_FPR, Comparisons
from facsimile.paper.learning_curve import data_multiple, fit_pow3
from facsimile.paper.trial_arms import TRIALS
from facsimile.paper.wording import (
    as_change,
    as_multiple,
    as_percent_change,
    as_share,
    divide,
)

LENGTHS = {
    REAL: (REAL, "real-double"),
    ALL_GENERATED: (ALL_GENERATED, "generated-double"),
}
"""Arm of Fig. 6 → the same arm with the usual and twice the number of steps."""

LADDER = ("plain", "calibrated", "mixed", "unannotated", "filtered", "corrected", ALL_GENERATED)
"""From the method as published to this project's default; each arm adds one thing."""

DEFAULT_TITLE = "+ transferred expressions: the default"

ALONE = ("plain-edited", "plain-synthetic", "edited-only", "synthetic-only")
STRATEGIES = (
    REAL,
    "reweighted",
    "pretrained",
    ALL_GENERATED,
    "generated-reweighted",
    "generated-pretrained",
)
CURVES = {
    "people": {
        0.25: "people-quarter",
        0.5: "people-half",
        1.0: REAL,
        2.0: "people-2",
        5.0: "people-5",
    },
    "frames": {0.1: "frames-tenth", 1 / 3: "frames-third", 1.0: REAL},
}
"""Kind of learning curve → amount of annotated data, as a multiple of all → arm."""
CEILINGS = ("further", "balanced")
AMOUNTS = {1 / 8: "generated-eighth", 1 / 3: "generated-third", 1.0: ALL_GENERATED}
"""Share of the generated faces → arm."""


@dataclass(frozen=True)
class Scene:
    """What all sections are computed from.

    Attributes:
        comparisons: scores of all arms.
        main: set that figures are measured on.
        others: further sets to repeat them on.
        validation: set that lengths are chosen on.
    """

    comparisons: Comparisons
    main: str
    others: tuple[str, ...]
    validation: str

    @property
    def sets(self) -> tuple[str, ...]:
        return (self.main, *self.others)

    def trained(self, names: tuple[str, ...]) -> list[str]:
        """Those of the arms that were trained."""
        return [name for name in names if name in self.comparisons.arms]


def title(arm: str) -> str:
    """Name of an arm in figures and tables."""
    if arm in TRIALS:
        return TRIALS[arm].title
    return arm.replace("+", " + ")


def detection(scene: Scene) -> dict[str, Any]:
    """Fig. 6: F1 with and without generated faces, at equal compute.

    At each length, both arms take the same number of steps of the same number of faces. The best
    length of each arm is the one with the highest mean F1 on validation people.
    """
    compared = scene.comparisons
    lengths, best = {}, {}
    for arm, names in LENGTHS.items():
        scores = {
            name: compared.scores(name, scene.validation)["f1"]["mean"]
            for name in scene.trained(names)
        }
        best[arm] = max(scores, key=scores.get)
        lengths[arm] = scores
    sets = {}
    for place in scene.sets:
        pairs = {"usual": (REAL, ALL_GENERATED), "best": (best[REAL], best[ALL_GENERATED])}
        sets[place] = {
            "scores": {
                arm: compared.scores(arm, place)
                for names in LENGTHS.values()
                for arm in scene.trained(names)
            },
            **{
                kind: {
                    "arms": list(pair),
                    "gain": compared.difference(*pair, place),
                    "gain_without_AU05": compared.difference(*pair, place, F1_WITHOUT_AU05),
                    "relative": _relative(compared, *pair, place),
                }
                for kind, pair in pairs.items()
            },
        }
    best_length, usual = sets[scene.main]["best"], sets[scene.main]["usual"]
    gain = best_length["gain"]
    return {
        "validation_f1_by_length": lengths,
        "sets": sets,
        "finding": (
            f"At equal compute, generated faces change F1 by {as_change(gain['mean'])} "
            f"({as_percent_change(best_length['relative'])}; 95 % interval "
            f"{as_change(gain['low'])} … {as_change(gain['high'])}) with the length that is best "
            f"for each arm, and by {as_percent_change(usual['relative'])} at the usual length."
        ),
    }


def learning_curve(scene: Scene, people: int, frames: int) -> dict[str, Any]:
    """Fig. 7: F1 by amount of annotated data, and what generated faces are worth.

    Args:
        scene: all scores.
        people: number of annotated training people.
        frames: number of annotated training faces.
    """
    compared, place = scene.comparisons, scene.main
    reference = compared.scores(ALL_GENERATED, place)["f1"]
    values: dict[str, Any] = {"generated": reference}
    for kind, base in (("people", people), ("frames", frames)):
        points = {
            amount: compared.scores(arm, place)["f1"]
            for amount, arm in CURVES[kind].items()
            if arm in compared.arms
        }
        sizes = [amount * base for amount in points]
        curve = fit_pow3(sizes, [score["mean"] for score in points.values()])
        multiple, low, high = data_multiple(
            sizes,
            [score["per_seed"] for score in points.values()],
            reference["per_seed"],
            base,
            seed=compared.seed,
            draws=compared.draws,
        )
        values[kind] = {
            "points": [
                {"size": size, **score} for size, score in zip(sizes, points.values(), strict=True)
            ],
            "fit": {"a": curve.a, "b": curve.b, "c": curve.c},
            "multiple": {"mean": multiple, "low": low, "high": high},
        }
    real = compared.scores(REAL, place)["f1"]["mean"]
    gain = reference["mean"] - real
    ceilings = {}
    for name in scene.trained(CEILINGS):
        score = compared.scores(name, place)["f1"]
        ceilings[name] = score | {"share_of_gain": divide(gain, score["mean"] - real)}
    worth = values["people"]["multiple"]
    finding = (
        f"Generated faces are worth {as_multiple(worth['mean'])} times the annotated people (95 % "
        f"interval {as_multiple(worth['low'])} … {as_multiple(worth['high'])})"
    )
    if "further" in ceilings:
        share = ceilings["further"]["share_of_gain"]
        finding += (
            f", and bring {as_share(share)} of the gain that as many exactly labelled faces of "
            "further people bring"
        )
    return values | {"ceilings": ceilings, "finding": finding + "."}


def pair_fpr(scene: Scene) -> dict[str, Any]:
    """Fig. 8: how often an absent AU is detected beside a present one."""
    compared = scene.comparisons
    values = {}
    for place in scene.sets:
        values[place] = {
            REAL: compared.scores(REAL, place)["pair_fpr"],
            ALL_GENERATED: compared.scores(ALL_GENERATED, place)["pair_fpr"],
            "difference": compared.difference(REAL, ALL_GENERATED, place, PAIR_FPR),
        }
    main = values[scene.main]
    real, generated = main[REAL]["mean"], main[ALL_GENERATED]["mean"]
    matrices = {arm: compared.pair_fpr(arm, scene.main) for arm in (REAL, ALL_GENERATED)}
    change = matrices[ALL_GENERATED] - matrices[REAL]
    defined = change[~np.isnan(change)]
    reduced = float((defined < 0).mean())
    return {
        "sets": values,
        "matrices": matrices,
        "pairs_reduced": reduced,
        "finding": (
            f"The mean rate goes from {100 * real:.1f} to {100 * generated:.1f} %, "
            f"{divide(generated, real):.2f} times as much; it falls for {as_share(reduced)} "
            "of the pairs."
        ),
    }


def strategies(scene: Scene) -> dict[str, Any]:
    """Fig. 11: reweighting and pretraining, alone and with generated faces."""
    compared, place = scene.comparisons, scene.main
    arms = scene.trained(STRATEGIES)
    values = {
        arm: {
            "f1": compared.scores(arm, place)["f1"],
            "pair_fpr": compared.scores(arm, place)["pair_fpr"],
            "gain": compared.difference(REAL, arm, place) if arm != REAL else None,
        }
        for arm in arms
    }
    best = max(arms, key=lambda arm: values[arm]["f1"]["mean"])
    alone = [arm for arm in ("reweighted", "pretrained") if arm in arms]
    changes = " and ".join(
        f"{title(arm)} changes F1 by {as_change(values[arm]['gain']['mean'])}" for arm in alone
    )
    return {
        "arms": values,
        "finding": f"Without generated faces, {changes}; the best is {title(best)} with "
        f"{values[best]['f1']['mean']:.3f}.",
    }


def ablation(scene: Scene) -> dict[str, Any]:
    """Fig. 13: the method as published, then each addition of this project."""
    compared, place = scene.comparisons, scene.main

    def row(arm: str, before: str) -> dict[str, Any]:
        scores = compared.scores(arm, place)
        return {
            "title": DEFAULT_TITLE if arm == ALL_GENERATED else title(arm),
            "f1": scores["f1"],
            "f1_without_AU05": scores["f1_without_AU05"],
            "pair_fpr": scores["pair_fpr"],
            "gain": compared.difference(REAL, arm, place),
            "step": compared.difference(before, arm, place) | {"from": before},
        }

    ladder = scene.trained(LADDER)
    rows = {arm: row(arm, before) for before, arm in zip([REAL, *ladder], ladder, strict=False)}
    rows |= {arm: row(arm, REAL) for arm in scene.trained(ALONE)}
    steps = {arm: rows[arm]["step"]["mean"] for arm in ladder[1:]}
    largest = max(steps, key=steps.get)
    plain = rows["plain"]["gain"]["mean"]
    return {
        REAL: compared.scores(REAL, place)["f1"],
        "arms": rows,
        "finding": (
            f"As published, generated faces change F1 by {as_change(plain)}; all additions "
            f"together, by {as_change(rows[ALL_GENERATED]['gain']['mean'])}. The largest step is "
            f"“{rows[largest]['title'].removeprefix('+ ')}” ({as_change(steps[largest])})."
        ),
    }


def amount(scene: Scene, generated: int) -> dict[str, Any]:
    """F1 by the number of generated faces, with the same number of training steps.

    Args:
        scene: all scores.
        generated: number of accepted generated faces.
    """
    compared, place = scene.comparisons, scene.main
    points = [{"faces": 0, **compared.scores(REAL, place)["f1"]}]
    for share, arm in AMOUNTS.items():
        if arm in compared.arms:
            count = round(share * generated)
            points.append({"faces": count, **compared.scores(arm, place)["f1"]})
    gains = {point["faces"]: point["mean"] - points[0]["mean"] for point in points[1:]}
    return {
        "points": points,
        "finding": "Gain of F1 by number of generated faces: "
        + ", ".join(f"{count:,}: {as_change(gain)}" for count, gain in gains.items())
        + ".",
    }


def groups(scene: Scene) -> dict[str, Any]:
    """F1 of each gender × age group, before and after; empty if they are not annotated."""
    compared, place = scene.comparisons, scene.main
    values = {arm: compared.group_f1(arm, place) for arm in (REAL, ALL_GENERATED)}
    if not values[REAL]:
        return {}
    gaps = {arm: max(f1.values()) - min(f1.values()) for arm, f1 in values.items()}
    return {
        "f1": values,
        "gap": gaps,
        "finding": (
            f"Between the best and the worst group, F1 differs by {gaps[REAL]:.3f} without and by "
            f"{gaps[ALL_GENERATED]:.3f} with generated faces."
        ),
    }


def _relative(compared: Comparisons, one: str, other: str, place: str) -> float:
    before, after = (compared.scores(arm, place)["f1"]["mean"] for arm in (one, other))
    return divide(after, before) - 1
