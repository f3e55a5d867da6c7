"""Figures of the report of `facsimile paper`, drawn from the sections of its results.json.

Each function takes the values of one section (`facsimile.paper.findings`) and returns a Figure.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from facsimile.faces.arms import ALL_GENERATED, training_arms
from facsimile.faces.aus import AUS
from facsimile.faces.origins import REAL
from facsimile.measurement.summaries import long_form
from facsimile.paper.edit_fidelity import DEFAULT
from facsimile.paper.edit_findings import NAMES
from facsimile.paper.findings import title
from facsimile.report import figures
from facsimile.report.style import BLUE, GREEN, INK, MUTED, VERMILION, heatmap, look

_COLOURS = {arm: shown.colour for arm, shown in training_arms().items()}
_LINES = (BLUE, VERMILION, GREEN, "#cc79a7", "#e69f00", "#56b4e9", MUTED, INK)

Values = Mapping[str, Any]


def occurrence(values: Values) -> Figure:
    """Fig. 1: faces that show each AU, real and generated."""
    with look():
        figure = Figure(figsize=(9, 3))
        axes = figure.subplots()
        places = np.arange(len(AUS))
        for offset, name, colour in ((-0.2, "real", REAL), (0.2, "generated", ALL_GENERATED)):
            counts = [values[name]["count"][au] for au in AUS]
            axes.bar(places + offset, counts, 0.38, color=_COLOURS[colour], label=name)
        axes.set_xticks(places, AUS)
        axes.set(ylabel="faces that show the AU")
        _finish(axes)
        return figure


def correlation(values: Values) -> Figure:
    """Fig. 5: correlations between AUs."""
    panels = [
        long_form(_matrix(rows), "au", "other", "r").assign(panel=panel)
        for panel, rows in values["matrices"].items()
    ]
    return figures.correlations(pd.concat(panels))


def detection(values: Values) -> Figure:
    """Fig. 6: F1 of both arms on each set, at the usual and at the best length."""
    with look():
        figure = Figure(figsize=(9, 3.2))
        axes = figure.subplots()
        ticks, labels = [], []
        for group, (place, scores) in enumerate(values["sets"].items()):
            for column, kind in enumerate(("usual", "best")):
                for side, arm in enumerate(scores[kind]["arms"]):
                    x = 5 * group + 2 * column + 0.8 * side
                    colour = _COLOURS[(REAL, ALL_GENERATED)[side]]
                    label = ("real", "real + generated")[side] if not group + column else None
                    _box(axes, x, scores["scores"][arm]["f1"], colour, label)
                ticks.append(5 * group + 2 * column + 0.4)
                labels.append(f"{kind} length" + (f"\n{place}" if column == 0 else "\n"))
        axes.set_xticks(ticks, labels, fontsize=7.5)
        axes.set(ylabel="mean F1")
        _finish(axes)
        return figure


def learning_curve(values: Values) -> Figure:
    """Fig. 7: F1 by amount of annotated data, with the level of generated faces."""
    with look():
        figure = Figure(figsize=(9, 3.3))
        for axes, kind in zip(figure.subplots(1, 2), ("people", "frames"), strict=True):
            points, fit = values[kind]["points"], values[kind]["fit"]
            sizes = np.array([point["size"] for point in points])
            means = [point["mean"] for point in points]
            errors = np.nan_to_num([point["se"] or 0 for point in points])
            axes.errorbar(sizes, means, errors, fmt="o", color=_COLOURS[REAL], label="real")
            if fit["a"] is not None:
                line = np.geomspace(sizes.min(), 1.2 * sizes.max(), 100)
                curve = fit["a"] - fit["b"] * line ** -fit["c"]
                axes.plot(line, curve, color=_COLOURS[REAL], lw=1)
            level = values["generated"]["mean"]
            axes.axhline(level, color=_COLOURS[ALL_GENERATED], label="real + generated")
            for name, ceiling in values["ceilings"].items():
                style = ":" if name == "balanced" else "--"
                axes.axhline(ceiling["mean"], color=MUTED, ls=style, label=title(name))
            axes.set_xscale("log")
            axes.set(xlabel=f"annotated {kind}", ylabel="mean F1")
            _finish(axes)
        return figure


def pair_fpr(values: Values) -> Figure:
    """Fig. 8: false positive rates of AU pairs, and their difference."""
    arms = [
        long_form(_matrix(rows), "absent", "present", "fpr").assign(arm=arm)
        for arm, rows in values["matrices"].items()
    ]
    return figures.pair_fpr(pd.concat(arms))


def strategies(values: Values) -> Figure:
    """Fig. 11: F1 and AU-pair false positives of each way to train."""
    arms = list(values["arms"])
    with look():
        figure = Figure(figsize=(9, 3))
        for axes, (name, text) in zip(
            figure.subplots(1, 2),
            (("f1", "mean F1"), ("pair_fpr", "AU-pair false positive rate")),
            strict=True,
        ):
            for place, arm in enumerate(arms):
                colour = _COLOURS[ALL_GENERATED if "generated" in arm else REAL]
                _box(axes, place, values["arms"][arm][name], colour)
            labels = [title(arm).replace(" + ", "\n+ ") for arm in arms]
            axes.set_xticks(range(len(arms)), labels, fontsize=7)
            axes.set(ylabel=text)
            _finish(axes)
        return figure


def ablation(values: Values) -> Figure:
    """Fig. 13: gain over real faces of each set of generated faces, with 95 % intervals."""
    arms = values["arms"]
    with look():
        figure = Figure(figsize=(9, 0.6 + 0.3 * len(arms)))
        axes = figure.subplots()
        for place, row in enumerate(arms.values()):
            gain = row["gain"]
            axes.plot([gain["low"], gain["high"]], [place, place], color=MUTED, lw=1.5)
            axes.plot(gain["mean"], place, "o", color=_COLOURS[ALL_GENERATED])
        axes.axvline(0, color=MUTED, lw=0.8)
        titles = [row["title"] for row in arms.values()]
        axes.set_yticks(range(len(arms)), titles)
        axes.invert_yaxis()
        axes.set(xlabel="difference of mean F1 to real faces alone")
        axes.xaxis.grid(True)
        return figure


def fidelity(values: Values) -> Figure:
    """Fig. 10: AU error and identity drift by the number of edited AUs."""
    with look():
        figure = Figure(figsize=(9, 3.3))
        for axes, (score, text) in zip(
            figure.subplots(1, 2),
            (("au_mae", "mean AU error"), ("drift", "identity drift")),
            strict=True,
        ):
            for (editor, points), colour in zip(
                values["by_count"][score].items(), _LINES, strict=False
            ):
                counts = [int(count) for count in points]
                axes.plot(counts, list(points.values()), "o-", ms=4, color=colour)
                axes.lines[-1].set_label(NAMES[editor])
            axes.set(xlabel="AUs edited at once", ylabel=text)
            if score == "drift":
                axes.axhline(values["identity_threshold"], color=MUTED, ls="--", lw=0.8)
            axes.yaxis.grid(True)
        handles = figure.axes[0].get_legend_handles_labels()
        figure.legend(*handles, loc="outside right upper", fontsize=7.5)
        return figure


def disentanglement(values: Values) -> Figure:
    """Fig. 12: mean absolute change of AUs and attributes per face in edits of one AU by 1."""
    shown = [
        name for name in ("base", "conditioned+projected", DEFAULT) if name in values["matrices"]
    ]
    with look():
        figure = Figure(figsize=(3.8 * len(shown), 3.4))
        for axes, editor in zip(
            figure.subplots(1, len(shown), squeeze=False)[0], shown, strict=True
        ):
            matrix = _matrix(values["matrices"][editor]["absolute"])
            heatmap(axes, matrix, tuple(values["read"]), limit=1.0, numbers_from=0.1, rows=AUS)
            axes.tick_params(axis="x", rotation=90)
            axes.set_title(NAMES[editor])
        return figure


def linearity(values: Values) -> Figure:
    """Rise of the edited AU by the strength of the edit."""
    with look():
        figure = Figure(figsize=(6.5, 3))
        axes = figure.subplots()
        for (editor, curve), colour in zip(values["curves"].items(), _LINES, strict=False):
            strengths = [float(s) for s in curve["on_target"]]
            for kind, style in (("on_target", "o-"), ("off_target", "o:")):
                name = "edited AU" if kind == "on_target" else "other AUs, absolute"
                heights = list(curve[kind].values())
                label = f"{NAMES[editor]}: {name}"
                axes.plot(strengths, heights, style, ms=4, color=colour, label=label)
        axes.set(xlabel="strength of the edit", ylabel="change as read by the oracle")
        _finish(axes)
        return figure


def amount(values: Values) -> Figure:
    """F1 by the number of generated faces."""
    points = values["points"]
    with look():
        figure = Figure(figsize=(6.5, 2.8))
        axes = figure.subplots()
        errors = [point["se"] or 0 for point in points]
        axes.errorbar(
            [point["faces"] for point in points],
            [point["mean"] for point in points],
            errors,
            fmt="o-",
            color=_COLOURS[ALL_GENERATED],
        )
        axes.set(xlabel="generated faces", ylabel="mean F1")
        _finish(axes)
        return figure


def groups(values: Values) -> Figure:
    """F1 of each gender × age group."""
    names = list(values["f1"][REAL])
    with look():
        figure = Figure(figsize=(9, 2.6))
        axes = figure.subplots()
        for offset, arm in ((-0.12, REAL), (0.12, ALL_GENERATED)):
            scores = [values["f1"][arm][name] for name in names]
            places = np.arange(len(names)) + offset
            axes.plot(places, scores, "o", color=_COLOURS[arm], label=title(arm))
        axes.set_xticks(range(len(names)), names)
        axes.set(ylabel="mean F1")
        _finish(axes)
        return figure


def _box(axes: Axes, x: float, score: Values, colour: str, label: str | None = None) -> None:
    """One box over seeds, with a dot for each."""
    seeds: Sequence[float] = score["per_seed"]
    if len(seeds) > 2:
        box = axes.boxplot(seeds, positions=[x], widths=0.6, patch_artist=True, manage_ticks=False)
        for part in box["boxes"]:
            part.set(facecolor=colour, alpha=0.35, edgecolor=colour)
        for name in ("whiskers", "caps", "medians"):
            for line in box[name]:
                line.set_color(colour)
        for flier in box["fliers"]:
            flier.set_visible(False)
    else:
        axes.hlines(score["mean"], x - 0.3, x + 0.3, color=colour, lw=2)
    axes.plot([x] * len(seeds), seeds, "o", ms=4, color=colour, label=label)


def _finish(axes: Axes) -> None:
    axes.yaxis.grid(True)
    axes.spines["left"].set_visible(False)
    if axes.get_legend_handles_labels()[1]:
        axes.legend(fontsize=7.5)


def _matrix(rows: Sequence[Sequence[float | None]]) -> np.ndarray:
    return np.array(rows, dtype=float)
