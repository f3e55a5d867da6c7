"""What was measured of each claim, and in one sentence what it means.

Source: "Controlled Face Manipulation and Synthesis for Data Augmentation", IV. Each function
returns the values of one section of results.json; ``finding`` is the sentence. Scores are measured
on the set that `Scene.main` names: the population where there is one, otherwise the test people.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from facsimile.faces.arms import ALL_GENERATED
from facsimile.faces.aus import AUS
from facsimile.faces.origins import REAL
from facsimile.measurement.summaries import mean_abs_correlation
from facsimile.paper.comparisons import F1_WITHOUT_AU05, PAIR_FPR, Comparisons
from facsimile.paper.learning_curve import data_multiple, fit_pow3
from facsimile.paper.trial_arms import TRIALS

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


def occurrence(counts: pd.DataFrame) -> dict[str, Any]:
    """Fig. 1: how many training faces show each AU.

    Args:
        counts: origin, au, active, annotated, one row per origin and AU.
    """
    wide = counts.pivot_table(index="au", columns="origin", values="active", aggfunc="sum")
    wide = wide.reindex(list(AUS)).fillna(0)
    real, total = wide[REAL], wide.sum(axis=1)
    generated = total - real
    values = {
        name: {"count": column.astype(int).to_dict(), "ratio": _ratio(column)}
        for name, column in (("real", real), ("generated", generated), ("both", total))
    }
    finding = (
        f"The most frequent AU is on {values['real']['ratio']:.1f} times as many real faces as the "
        f"rarest, on {values['generated']['ratio']:.1f} times as many generated ones, and on "
        f"{values['both']['ratio']:.1f} times as many of both together."
    )
    return values | {"finding": finding}


def _ratio(counts: pd.Series) -> float:
    return _divide(float(counts.max()), float(counts.min()))


def correlation(correlations: pd.DataFrame) -> dict[str, Any]:
    """Fig. 5: correlation of all pairs of AUs.

    Args:
        correlations: panel, au, other, r.
    """
    panels = {
        panel: table.pivot(index="au", columns="other", values="r")
        .reindex(index=list(AUS), columns=list(AUS))
        .to_numpy(float)
        for panel, table in correlations.groupby("panel", sort=False)
    }
    means = {panel: mean_abs_correlation(matrix) for panel, matrix in panels.items()}
    real, generated = panels["estimator_real"], panels["estimator_generated"]
    change = np.abs(generated) - np.abs(real)
    moved = [
        {"pair": f"{AUS[i]} {AUS[j]}", "real": real[i, j], "generated": generated[i, j]}
        for i in range(len(AUS))
        for j in range(i)
        if not np.isnan(change[i, j])
    ]
    moved.sort(key=lambda pair: abs(pair["generated"]) - abs(pair["real"]))
    ratio = _divide(means["estimator_generated"], means["estimator_real"])
    raised = sum(abs(pair["generated"]) > abs(pair["real"]) for pair in moved)
    finding = (
        f"As read by the oracle, the mean absolute correlation is {means['estimator_real']:.3f} in "
        f"real faces and {means['estimator_generated']:.3f} in generated ones, {ratio:.2f} times "
        f"as much; of {len(moved)} pairs, {raised} are more correlated than before."
    )
    return {
        "mean_abs": means,
        "ratio": ratio,
        "most_reduced": moved[:5],
        "most_raised": moved[::-1][:5],
        "matrices": panels,
        "finding": finding,
    }


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
            f"At equal compute, generated faces change F1 by {_signed(gain['mean'])} "
            f"({_percent(best_length['relative'])}; 95 % interval {_signed(gain['low'])} … "
            f"{_signed(gain['high'])}) with the length that is best for each arm, and by "
            f"{_percent(usual['relative'])} at the usual length."
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
        ceilings[name] = score | {"share_of_gain": _divide(gain, score["mean"] - real)}
    worth = values["people"]["multiple"]
    finding = (
        f"Generated faces are worth {_multiple(worth['mean'])} times the annotated people (95 % "
        f"interval {_multiple(worth['low'])} … {_multiple(worth['high'])})"
    )
    if "further" in ceilings:
        share = ceilings["further"]["share_of_gain"]
        finding += (
            f", and bring {_share(share)} of the gain that as many exactly labelled faces of "
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
            f"{_divide(generated, real):.2f} times as much; it falls for {_share(reduced)} "
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
        f"{title(arm)} changes F1 by {_signed(values[arm]['gain']['mean'])}" for arm in alone
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
            f"As published, generated faces change F1 by {_signed(plain)}; all additions together, "
            f"by {_signed(rows[ALL_GENERATED]['gain']['mean'])}. The largest step is "
            f"“{rows[largest]['title'].removeprefix('+ ')}” ({_signed(steps[largest])})."
        ),
    }


def neutralization(evaluated: Mapping[str, Any]) -> dict[str, Any]:
    """How neutral synthetic people are before and after neutralization.

    Args:
        evaluated: metrics of stage evaluate.
    """
    values = evaluated["neutralization"]
    before, after = values["residual_before"], values["residual_after"]
    return values | {
        "finding": f"The mean AU activity of sampled people, as read by the oracle, goes from "
        f"{before:.3f} to {after:.3f}, {_divide(after, before):.2f} times as much."
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
        + ", ".join(f"{count:,}: {_signed(gain)}" for count, gain in gains.items())
        + ".",
    }


def groups(scene: Scene) -> dict[str, Any]:
    """F1 of each gender × age group, before and after; empty if they are not annotated."""
    compared, place = scene.comparisons, scene.main
    if compared.people[place].groups is None:
        return {}
    values = {arm: compared.group_f1(arm, place) for arm in (REAL, ALL_GENERATED)}
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
    return _divide(after, before) - 1


def _divide(value: float, by: float) -> float:
    return value / by if by else float("nan")


def _signed(value: float) -> str:
    return f"{value:+.3f}".replace("-", "−")


def _percent(value: float) -> str:
    return f"{100 * value:+.1f} %".replace("-", "−")


def _share(value: float) -> str:
    return f"{100 * value:.0f} %"


def _multiple(value: float) -> str:
    if np.isnan(value):
        return "unknown"
    return "∞" if np.isinf(value) else f"{value:.1f}"
