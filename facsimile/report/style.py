"""Common style of all figures: colour-blind safe colours and a minimal layout.

Hues are those of Okabe and Ito. Heatmaps encode values as the opacity of one hue, so that figures
work on light and dark pages.
"""

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from html import escape
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure

INK, MUTED, GRID = "#1c1e21", "#6b7178", "#d5d9de"
VERMILION, BLUE, GREEN = "#d55e00", "#0072b2", "#009e73"
ON_BAR = "#111111"  # text on a bar, readable on light and dark pages

# CSS colours that replace the colours of a figure embedded in a page.
_PAGE_COLOURS = {INK: "var(--ink)", MUTED: "var(--muted)", GRID: "var(--line)"}

_RC = {
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": GRID,
    "axes.labelcolor": MUTED,
    "axes.titlecolor": INK,
    "axes.axisbelow": True,
    "axes.facecolor": "none",
    "grid.color": GRID,
    "grid.linewidth": 0.6,
    "text.color": INK,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "legend.frameon": False,
    "figure.facecolor": "none",
    "figure.constrained_layout.use": True,
    # Text stays text, so that it uses the font of the page; ids depend only on the content.
    "svg.fonttype": "none",
    "svg.hashsalt": "facsimile",
}


_CELL = ((-0.47, -0.47), (0.47, -0.47), (0.47, 0.47), (-0.47, 0.47))
_CENTRED = {"ha": "center", "va": "center"}


@contextmanager
def look() -> Iterator[None]:
    """Matplotlib settings of all figures."""
    with matplotlib.rc_context(_RC):
        yield


def heatmap(
    axes: Axes,
    matrix: np.ndarray,
    labels: tuple[str, ...],
    *,
    limit: float,
    positive: str = VERMILION,
    negative: str = BLUE,
    numbers_from: float = 0.0,
    rows: tuple[str, ...] | None = None,
) -> None:
    """Draw a matrix; opacity = |value| / limit, hue = sign. NaN cells are left empty.

    Args:
        axes: axes to draw on.
        matrix: (R, K).
        labels: K names of columns.
        limit: value drawn at full strength.
        positive, negative: hues.
        numbers_from: smallest absolute value that is also printed in its cell.
        rows: R names of rows; None if they are those of the columns.
    """
    rows = labels if rows is None else rows
    cells, colours = [], []
    for (row, column), value in np.ndenumerate(matrix):
        if np.isnan(value):
            continue
        cells.append([(column + x, row + y) for x, y in _CELL])
        strength = 0.9 * min(abs(value) / limit, 1.0)
        colours.append(to_rgba(positive if value > 0 else negative, strength))
        if abs(value) >= numbers_from:
            # ".42", "−.42", "1.0": the leading zero would not fit.
            text = f"{value:.2f}".replace("0.", ".", 1) if abs(value) < 0.995 else f"{value:.1f}"
            text = axes.text(column, row, text.replace("-", "−"), fontsize=6, **_CENTRED)
            text.set_in_layout(False)  # it lies inside its cell; measuring it is slow
    axes.add_collection(PolyCollection(cells, facecolors=colours, linewidths=0))
    axes.set(xlim=(-0.5, len(labels) - 0.5), ylim=(len(rows) - 0.5, -0.5), aspect="equal")
    names = [label.removeprefix("AU") for label in labels]
    axes.set_xticks(range(len(labels)), names, fontsize=7)
    axes.set_yticks(range(len(rows)), rows, fontsize=7)
    axes.spines[:].set_visible(False)


def to_svg(figure: Figure, name: str, alt: str) -> str:
    """A figure as inline SVG that takes text colours and font from the page around it.

    Args:
        figure: drawn under `look`.
        name: letters, unique on the page: prefix of all ids in the SVG.
        alt: text alternative for screen readers.
    """
    buffer = io.StringIO()
    with look():
        figure.savefig(buffer, format="svg", metadata={"Date": None}, transparent=True)
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'\bid="', f'id="{name}-', svg)
    svg = re.sub(r'(url\(#|href="#)', rf"\g<1>{name}-", svg)
    svg = re.sub(r"(font: [^;\"]*?px) [^;\"]*", r"\1 var(--sans)", svg)
    for colour, variable in _PAGE_COLOURS.items():
        svg = svg.replace(colour, variable)
    return svg.replace("<svg ", f'<svg role="img" aria-label="{escape(alt)}" ', 1)


def to_png(figure: Figure, path: Path) -> None:
    """Save a figure as PNG on white, 144 dpi."""
    with look():
        figure.savefig(path, format="png", dpi=144, facecolor="white")
