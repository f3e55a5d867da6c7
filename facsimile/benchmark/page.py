"""The report of `facsimile editors`: one HTML file."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from facsimile import __version__
from facsimile.benchmark.tables import finding, sections, title
from facsimile.faces.aus import AU_NAMES
from facsimile.faces.origins import REAL
from facsimile.faces.tables import atomic_file
from facsimile.report.html import blocks, environment, inline_figure
from facsimile.report.style import BLUE, MUTED, look, to_png

TEMPLATE = "editors.html"

_CAPTIONS = {
    "au_error": "Difference of AU readings between edited face and exact target, by the number of "
    "AUs of the target. Dotted: variants.",
    "detectors": "F1 of detectors on new people, one dot per seed.",
}


def write_benchmark_report(results: Mapping[str, Any], sheet: pd.DataFrame, folder: Path) -> None:
    """Write report.html, and figures/*.png.

    Args:
        results: content of results.json.
        sheet: edited faces in ``GALLERY_SCHEMA``.
        folder: folder to write to.
    """
    (folder / "figures").mkdir(parents=True, exist_ok=True)
    drawn = {"au_error": au_error(results)}
    if any(heading == "Detectors" for heading, *_ in sections(results)):
        drawn["detectors"] = detectors(results)
    figures = []
    for name, figure in drawn.items():
        to_png(figure, folder / "figures" / f"{name}.png")
        figures.append(inline_figure(name, figure, alt=_CAPTIONS[name], caption=_CAPTIONS[name]))
    page = (
        environment(Path(__file__).parent)
        .get_template(TEMPLATE)
        .render(
            au_names=AU_NAMES,
            results=results,
            finding=finding(results),
            figures=figures,
            sheet=blocks(sheet),
            sections=list(sections(results)),
            version=__version__,
        )
    )
    with atomic_file(folder / "report.html") as temporary:
        temporary.write_text(page, encoding="utf-8")


def au_error(results: Mapping[str, Any]) -> Figure:
    """AU error by the number of AUs, one line per editor."""
    with look():
        figure = Figure(figsize=(9, 3.4))
        axes = figure.subplots()
        for name, values in results["scores"].items():
            counts = values["au_mae_by_count"]
            style = "-" if name in results["methods"] else ":"
            axes.plot([int(n) for n in counts], list(counts.values()), style, label=title(name))
        axes.set(xlabel="AUs of the target", ylabel="AU error", ylim=(0, None))
        axes.legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
        return figure


def detectors(results: Mapping[str, Any]) -> Figure:
    """F1 of all detectors on the first set."""
    arms = next(iter(results["detectors"].values()))
    with look():
        figure = Figure(figsize=(9, 0.4 * len(arms) + 1.2))
        axes = figure.subplots()
        for place, (arm, score) in enumerate(arms.items()):
            colour = MUTED if arm == REAL else BLUE
            values = score["f1"]["per_seed"]
            axes.plot(values, [place] * len(values), "o", color=colour)
        axes.set_yticks(range(len(arms)), [title(arm) for arm in arms])
        axes.invert_yaxis()
        axes.set(xlabel="mean F1")
        return figure
