"""The figures of a report, with alt texts and captions."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from facsimile.faces.origins import REAL
from facsimile.report import figures
from facsimile.report.evidence import Evidence
from facsimile.report.style import to_png


@dataclass(frozen=True)
class Picture:
    """A figure with alt text and caption.

    Attributes:
        draw: draws the figure.
        alt: text alternative for screen readers.
        caption: how to read the figure.
    """

    draw: Callable[[], Figure]
    alt: str
    caption: str


def pictures(evidence: Evidence) -> dict[str, Picture]:
    """All figures for which the evaluation has data, by name."""
    tables, aus, found = evidence.tables, evidence.aus, {}
    if "au_counts" in tables:
        found["au_counts"] = Picture(
            partial(figures.au_counts, tables["au_counts"], aus),
            "Stacked bars: training faces with each AU active, by origin.",
            _balance(tables["au_counts"]),
        )
    if "activity" in tables:
        found["neutralization"] = Picture(
            partial(figures.neutralization, tables["activity"], aus),
            "Mean AU intensity read in sampled faces, and in the same faces neutralized.",
            "Sampled faces have expressions. The further left the blue dot, the more neutral the "
            "faces that edits start from.",
        )
    if "correlations" in tables:
        found["correlations"] = Picture(
            partial(figures.correlations, tables["correlations"], aus),
            "Heatmaps of the correlation between all pairs of AUs, for real and generated faces.",
            "Strong cells are correlated AUs: orange is positive, blue is negative. The paler a "
            "panel, the less one AU predicts another. Labels are what detectors are trained on; "
            "readings of the oracle, an AU estimator not used in generation, are what the faces "
            "show.",
        )
    if "edit_effects" in tables:
        found["edit_effects"] = Picture(
            partial(figures.edit_effects, tables["edit_effects"], aus),
            "Heatmap: change of each AU read by the oracle after an edit of each AU.",
            "Row: edited AU. Column: AU read. A perfect edit is 1.0 on the diagonal (green) and 0 "
            "elsewhere; off-diagonal values are leakage.",
        )
    reasons = evidence.metrics.get("filter", {}).get("rejected_by_reason")
    if reasons:
        found["rejections"] = Picture(
            partial(figures.rejections, reasons),
            "Bars: number of rejected faces per reason.",
            "A face is counted under the first test that it fails. Faces rejected for balance "
            "passed all other tests, but belong to an over-represented group.",
        )
    if "detection" in tables:
        found["f1_by_test_set"] = Picture(
            partial(figures.f1_by_test_set, tables["detection"]),
            "Bars: mean F1 of each training arm on each test set, with one dot per seed.",
            "Bar: mean over seeds. Whisker: standard error. Circle: one seed."
            + _without_scores(evidence),
        )
        found["f1_per_au"] = Picture(
            partial(figures.f1_per_au, evidence.home, aus),
            "F1 of each AU for each training arm.",
            f"On {evidence.home['test_set'].iloc[0]}. Dot: mean over seeds. Line: from the lowest "
            "to the highest seed. AUs that are rare among real faces are the most interesting.",
        )
    if "au_pair_fpr" in tables:
        found["au_pair_fpr"] = Picture(
            partial(figures.pair_fpr, tables["au_pair_fpr"], aus),
            "Heatmaps of AU-pair false-positive rates by training arm, and their difference.",
            "How often the AU of the row is falsely detected on faces that show the AU of the "
            "column. High rates indicate shortcuts: the detector infers one AU from another.",
        )
    agreement = evidence.metrics.get("oracle", {}).get("pearson_per_au")
    if agreement:
        found["oracle"] = Picture(
            partial(figures.oracle_agreement, agreement, aus),
            "Bars: correlation of the oracle's readings with true labels for each AU.",
            "The oracle's readings against held-out labels. If r is low for an AU, all figures "
            "based on its readings of that AU are less reliable.",
        )
    return found


def write_figures(directory: Path, folder: Path) -> list[Path]:
    """Save the figures of an evaluation as PNG files.

    Args:
        directory: output folder of stage evaluate.
        folder: folder for the figures.
    """
    Path(folder).mkdir(parents=True, exist_ok=True)
    paths = []
    for name, picture in pictures(Evidence.read(directory)).items():
        paths.append(Path(folder) / f"{name}.png")
        to_png(picture.draw(), paths[-1])
    return paths


def _without_scores(evidence: Evidence) -> str:
    """A sentence that lists test sets not annotated for any trained AU; may be empty."""
    scored = set(evidence.tables["detection"]["test_set"])
    names = [name for name in evidence.metrics.get("cross_dataset", {}) if name not in scored]
    return f" Not annotated for any AU that is trained: {', '.join(names)}." if names else ""


def _balance(counts: pd.DataFrame) -> str:
    """Sentences on the imbalance of AUs with and without generated faces."""
    wide = counts.pivot_table(index="au", columns="origin", values="active", aggfunc="sum")
    total, text = wide.sum(axis=1), ""
    if REAL in wide:
        real = wide[REAL].fillna(0)
        text = (
            f"Among real faces, the most frequent AU, {real.idxmax()}, is active on "
            f"{real.max():,.0f} and the rarest, {real.idxmin()}, on "
            f"{real.min():,.0f}{_ratio(real)}. "
        )
    if len(wide.columns) > 1:
        text += (
            f"With generated faces it is {total.max():,.0f} ({total.idxmax()}) against "
            f"{total.min():,.0f} ({total.idxmin()}){_ratio(total)}."
        )
    return text


def _ratio(counts: pd.Series) -> str:
    return f": {counts.max() / counts.min():.1f} to 1" if counts.min() else ""
