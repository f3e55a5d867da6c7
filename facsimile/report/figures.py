"""Figures of the report, drawn from the tables of stage evaluate.

Source of the figure types: "Controlled Face Manipulation and Synthesis for Data Augmentation": AU
counts (Fig. 1), inter-AU correlation (Fig. 5), F1 of arms and datasets (Fig. 6 and 13), AU-pair
false positives (Fig. 8). Each function returns a matplotlib Figure, drawn without pyplot, which
would keep every figure in memory.
"""

import functools
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from facsimile.faces.arms import Arm, training_arms
from facsimile.faces.aus import AU_NAMES, AUS
from facsimile.faces.origins import ORIGINS
from facsimile.measurement import mean_abs_correlation, mean_defined
from facsimile.rejection_reasons import REASONS
from facsimile.report.style import (
    BLUE,
    GREEN,
    INK,
    MUTED,
    ON_BAR,
    VERMILION,
    heatmap,
    look,
)

PANELS = {
    "labels_real": "Real faces, labels",
    "labels_generated": "Generated faces, labels",
    "estimator_real": "Real faces, as read by the oracle",
    "estimator_generated": "Generated faces, as read by the oracle",
}
"""Panels of the correlation figure, in order."""


def _styled(draw: Callable[..., Figure]) -> Callable[..., Figure]:
    @functools.wraps(draw)
    def drawn(*args, **kwargs) -> Figure:
        with look():
            return draw(*args, **kwargs)

    return drawn


def arms_in(table: pd.DataFrame) -> dict[str, Arm]:
    """Arms of a table, in the order of `training_arms`."""
    present = set(table["arm"])
    return {name: arm for name, arm in training_arms().items() if name in present}


def square(
    table: pd.DataFrame, row: str, column: str, value: str, aus: Sequence[str] = AUS
) -> np.ndarray:
    """Long table of AU pairs → matrix (K, K) in the order of `aus`; missing pairs are NaN."""
    wide = table.pivot(index=row, columns=column, values=value)
    return wide.reindex(index=list(aus), columns=list(aus)).to_numpy(float)


@_styled
def au_counts(counts: pd.DataFrame, aus: Sequence[str] = AUS) -> Figure:
    """Active faces per AU, stacked by origin.

    Args:
        counts: origin, au, active (number of faces).
        aus: AUs to show.
    """
    figure = Figure(figsize=(9, 3.2))
    axes = figure.subplots()
    wide = counts.pivot(index="au", columns="origin", values="active").reindex(list(aus)).fillna(0)
    _stack_by_origin(axes, wide)
    _mark_unannotated(axes, aus, counts["au"])
    labels = [f"{au}\n{_short(AU_NAMES[au])}" for au in aus]
    axes.set_xticks(range(len(aus)), labels, fontsize=7.5)
    axes.set(ylabel="faces that show the AU", xlim=(-0.6, len(aus) - 0.4))
    return figure


@_styled
def demographics(counts: pd.DataFrame) -> Figure:
    """Faces of each gender and age group, stacked by origin.

    Args:
        counts: origin, cell (in the order of its categories), faces.
    """
    figure = Figure(figsize=(9, 2.8))
    axes = figure.subplots()
    cells = list(counts["cell"].cat.categories)
    wide = counts.pivot(index="cell", columns="origin", values="faces").reindex(cells).fillna(0)
    _stack_by_origin(axes, wide)
    axes.set_xticks(range(len(cells)), cells)
    axes.set(ylabel="faces")
    return figure


def _stack_by_origin(axes: Axes, counts: pd.DataFrame) -> None:
    """Draw one bar for each row of `counts`, stacked by its columns, which are origins."""
    base = np.zeros(len(counts))
    for name, origin in ORIGINS.items():
        if name in counts:
            heights = counts[name].to_numpy(float)
            places = range(len(counts))
            axes.bar(places, heights, bottom=base, color=origin.colour, width=0.72, label=name)
            base += heights
    axes.yaxis.set_major_formatter("{x:,.0f}")
    axes.yaxis.grid(True)
    axes.spines["left"].set_visible(False)
    axes.figure.legend(loc="outside upper left", ncols=3)


def _mark_unannotated(axes: Axes, aus: Sequence[str], annotated: Iterable[str]) -> None:
    """Label AUs without annotations on the horizontal axis; a blank would read as 0."""
    for place, au in enumerate(aus):
        if au not in set(annotated):
            text = axes.text(place, 0, " not annotated", rotation=90, ha="center", va="bottom")
            text.set(color=MUTED, fontsize=8)


def _short(name: str) -> str:
    """ "lip corner puller" → "lip corner\npuller"."""
    words = name.split()
    return " ".join(words[:-1]) + "\n" + words[-1] if len(words) > 1 else name


@_styled
def correlations(table: pd.DataFrame, aus: Sequence[str] = AUS) -> Figure:
    """Inter-AU correlation, lower triangles side by side.

    Args:
        table: panel (keys of ``PANELS``), au, other, r.
        aus: AUs to show.
    """
    panels = [panel for panel in PANELS if panel in set(table["panel"])]
    columns = min(len(panels), 3 if len(panels) == 3 else 2)
    rows = -(-len(panels) // columns)
    figure = Figure(figsize=(3.5 * columns, 3.5 * rows))
    grid = figure.subplots(rows, columns, squeeze=False)
    for axes, panel in zip(grid.flat, panels, strict=False):
        matrix = square(table[table["panel"] == panel], "au", "other", "r", aus)
        lower = np.where(np.tri(len(aus), k=-1, dtype=bool), matrix, np.nan)
        heatmap(axes, lower, aus, limit=0.8, numbers_from=0.1)
        axes.set_title(PANELS[panel])
        mean = mean_abs_correlation(matrix)
        note = "mean |r|\n" + ("not defined" if np.isnan(mean) else f"{mean:.2f}")
        axes.text(0.98, 0.96, note, transform=axes.transAxes, ha="right", va="top", fontsize=12)
    return figure


@_styled
def f1_by_test_set(detection: pd.DataFrame) -> Figure:
    """Mean F1 of each arm on each test set: dot = one seed, bar = mean, whisker = standard error.

    Args:
        detection: test_set, arm, seed, au, f1.
    """
    arms, test_sets = arms_in(detection), list(detection["test_set"].unique())
    runs = detection.groupby(["test_set", "arm", "seed"], sort=False)["f1"].mean().reset_index()
    figure = Figure(figsize=(max(4.2, 1.2 + 0.62 * len(arms) * len(test_sets)), 3.2))
    axes = figure.subplots()
    step = len(arms) + 0.9
    for index, arm in enumerate(arms):
        for group, test_set in enumerate(test_sets):
            chosen = runs[(runs["arm"] == arm) & (runs["test_set"] == test_set)]
            label = arm if group == 0 else None
            values = chosen["f1"].dropna().to_numpy()
            _bar(axes, group * step + index, values, arms[arm].colour, label)
    centres = np.arange(len(test_sets)) * step + (len(arms) - 1) / 2
    axes.set_xticks(centres, test_sets)
    axes.set(ylabel="F1, mean over AUs")
    axes.yaxis.grid(True)
    axes.spines["left"].set_visible(False)
    figure.legend(loc="outside upper left", ncols=min(len(arms), 4))
    return figure


def _bar(axes: Axes, place: float, values: np.ndarray, colour: str, label: str | None) -> None:
    if not len(values):
        return
    error = values.std(ddof=1) / np.sqrt(len(values)) if len(values) > 1 else 0.0
    axes.bar(place, values.mean(), width=0.86, color=colour, label=label)
    if error:
        axes.errorbar(place, values.mean(), yerr=error, color=INK, lw=1.4, capsize=3)
    spread = place + np.linspace(-0.22, 0.22, len(values)) * (len(values) > 1)
    axes.plot(spread, values, "o", ms=3.2, mfc="none", mec=INK, mew=0.8)
    axes.text(
        place, 0.01, f"{values.mean():.2f}", ha="center", va="bottom", fontsize=8, color=ON_BAR
    )


@_styled
def f1_per_au(detection: pd.DataFrame, aus: Sequence[str] = AUS) -> Figure:
    """F1 of each AU and arm: dot = mean over seeds, line = range from worst to best seed.

    Args:
        detection: arm, seed, au, f1 on one test set.
        aus: AUs to show.
    """
    arms = arms_in(detection)
    figure = Figure(figsize=(9, 3.3))
    axes = figure.subplots()
    offsets = np.linspace(-0.27, 0.27, len(arms)) if len(arms) > 1 else np.zeros(1)
    for index in range(0, len(aus), 2):
        axes.axvspan(index - 0.5, index + 0.5, color=MUTED, alpha=0.07, lw=0)
    for arm, offset in zip(arms, offsets, strict=True):
        scores = detection[detection["arm"] == arm].groupby("au")["f1"]
        means = scores.mean().reindex(list(aus)).to_numpy()
        ends = [scores.min().reindex(list(aus)), scores.max().reindex(list(aus))]
        places = np.arange(len(aus)) + offset
        axes.vlines(places, *ends, color=arms[arm].colour, lw=2.4, alpha=0.45)
        axes.plot(places, means, "o", ms=6, color=arms[arm].colour, label=arm)
    _mark_unannotated(axes, aus, detection["au"])
    axes.set_xticks(range(len(aus)), aus)
    axes.set(ylabel="F1", xlim=(-0.5, len(aus) - 0.5), ylim=(0, None))
    axes.yaxis.grid(True)
    axes.spines["left"].set_visible(False)
    figure.legend(loc="outside upper left", ncols=min(len(arms), 4))
    return figure


@_styled
def pair_fpr(table: pd.DataFrame, aus: Sequence[str] = AUS) -> Figure:
    """AU-pair false-positive rates of each arm, and the difference between last and first.

    Args:
        table: arm, absent, present, fpr.
        aus: AUs to show.
    """
    matrices = {
        arm: square(table[table["arm"] == arm], "absent", "present", "fpr", aus)
        for arm in arms_in(table)
    }
    panels = len(matrices) + (len(matrices) > 1)
    columns = min(panels, 3)
    rows = -(-panels // columns)
    figure = Figure(figsize=(3.5 * columns, 3.6 * rows))
    grid = figure.subplots(rows, columns, squeeze=False)
    rates = np.stack(list(matrices.values()))
    limit = max(0.05, np.nan_to_num(rates).max())
    for axes, (arm, matrix) in zip(grid.flat, matrices.items(), strict=False):
        heatmap(axes, matrix, aus, limit=limit, numbers_from=0.1 * limit)
        axes.set_title(f"{arm}: mean {_percent(mean_defined(matrix))}")
    if len(matrices) > 1:
        first, *_, last = matrices
        axes, change = grid.flat[len(matrices)], matrices[last] - matrices[first]
        heatmap(axes, change, aus, limit=limit, negative=GREEN, numbers_from=0.1 * limit)
        which = "" if len(matrices) == 2 else f", {last} to {first}"
        axes.set_title(f"difference{which} (green = fewer)")
    for axes in grid.flat[panels:]:
        axes.remove()
    for axes in grid.flat[:panels]:
        axes.set_xlabel("AU that is present")
    for axes in grid[:, 0]:
        axes.set_ylabel("AU that is absent, yet detected")
    return figure


def _percent(share: float) -> str:
    return "not defined" if np.isnan(share) else f"{100 * share:.1f} %"


@_styled
def edit_effects(effects: pd.DataFrame, aus: Sequence[str] = AUS) -> Figure:
    """What an independent estimator reads after each edit; perfect edits give the identity matrix.

    Args:
        effects: edited_au, and one column per AU with the mean change per unit of intensity.
        aus: AUs to show.
    """
    matrix = effects.set_index("edited_au").reindex(list(aus))[list(aus)].to_numpy(float)
    figure = Figure(figsize=(4.6, 4.4))
    axes = figure.subplots()
    heatmap(axes, matrix, aus, limit=1.0, positive=GREEN, negative=BLUE, numbers_from=0.05)
    axes.set(xlabel="AU read by the oracle", ylabel="AU edited")
    return figure


@_styled
def neutralization(activity: pd.DataFrame, aus: Sequence[str] = AUS) -> Figure:
    """Mean activity read in sampled faces and in the same faces neutralized.

    Args:
        activity: au, before, after.
        aus: AUs to show.
    """
    activity = activity.set_index("au").reindex(list(aus))
    before, after = activity["before"].to_numpy(float), activity["after"].to_numpy(float)
    figure = Figure(figsize=(4.6, 3.8))
    axes = figure.subplots()
    places = np.arange(len(aus))
    axes.hlines(places, after, before, color=MUTED, lw=1.6, alpha=0.6)
    axes.plot(before, places, "o", ms=6.5, color=VERMILION, label="as sampled")
    axes.plot(after, places, "o", ms=6.5, color=BLUE, label="neutralized")
    axes.set_yticks(places, [f"{au} {AU_NAMES[au]}" for au in aus])
    axes.invert_yaxis()
    axes.set(xlabel="mean intensity read by the oracle", xlim=(min(0, np.nanmin(after)), None))
    axes.xaxis.grid(True)
    axes.spines["bottom"].set_visible(False)
    figure.legend(loc="outside upper left", ncols=2)
    return figure


@_styled
def rejections(by_reason: Mapping[str, int]) -> Figure:
    """Number of rejected samples for each reason."""
    reasons = sorted(by_reason, key=by_reason.get)
    counts = [by_reason[reason] for reason in reasons]
    names = [REASONS[reason].label for reason in reasons]
    figure = Figure(figsize=(6, 0.55 + 0.36 * len(reasons)))
    axes = figure.subplots()
    bars = axes.barh(names, counts, color=VERMILION, alpha=0.75, height=0.66)
    axes.bar_label(bars, [f"{count:,}" for count in counts], padding=4, color=INK)
    axes.margins(x=0.12)
    axes.spines[:].set_visible(False)
    axes.set_xticks([])
    return figure


@_styled
def oracle_agreement(per_au: Mapping[str, float], aus: Sequence[str] = AUS) -> Figure:
    """Correlation of the oracle's readings with held-out labels, per AU."""
    values = np.array([np.nan if per_au.get(au) is None else per_au[au] for au in aus])
    figure = Figure(figsize=(9, 1.9))
    axes = figure.subplots()
    bars = axes.bar(range(len(aus)), np.nan_to_num(values), color=BLUE, alpha=0.8, width=0.66)
    texts = ["–" if np.isnan(value) else f"{value:.2f}" for value in values]
    axes.bar_label(bars, texts, padding=2, fontsize=8)
    axes.set_xticks(range(len(aus)), aus)
    axes.set(
        ylabel="Pearson r", ylim=(np.nan_to_num(values).min(initial=0.0), 1.12), yticks=(0, 0.5, 1)
    )
    axes.yaxis.grid(True)
    axes.spines["left"].set_visible(False)
    return figure
