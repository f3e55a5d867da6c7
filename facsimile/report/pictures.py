"""Which figures a report holds, what each shows and what to look at."""

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
    """A figure with its words.

    Attributes:
        draw: draws it.
        alt: what it shows, for readers who do not see it.
        caption: what to look at.
    """

    draw: Callable[[], Figure]
    alt: str
    caption: str


def pictures(evidence: Evidence) -> dict[str, Picture]:
    """All figures for which there is evidence, by name."""
    tables, aus, found = evidence.tables, evidence.aus, {}
    if "au_counts" in tables:
        found["au_counts"] = Picture(
            partial(figures.au_counts, tables["au_counts"], aus),
            "Stacked bars: training faces that show each AU, by origin.",
            _balance(tables["au_counts"]),
        )
    if "activity" in tables:
        found["neutralization"] = Picture(
            partial(figures.neutralization, tables["activity"], aus),
            "Mean AU intensity read in sampled faces, and in the same faces neutralized.",
            "Sampled faces come with expressions. The further left the blue dot, the more neutral "
            "the face that the edits start from.",
        )
    if "correlations" in tables:
        found["correlations"] = Picture(
            partial(figures.correlations, tables["correlations"], aus),
            "Heatmaps of the correlation between every two AUs, real and generated faces.",
            "Strong cells are AUs that come together: orange where they rise together, blue where "
            "one rises as the other falls. The paler a panel, the less one AU tells about another. "
            "Labels are what a detector is taught; readings of the oracle, an AU estimator that "
            "took no part in generation, are what the faces show.",
        )
    if "edit_effects" in tables:
        found["edit_effects"] = Picture(
            partial(figures.edit_effects, tables["edit_effects"], aus),
            "Heatmap: change of each AU read by the oracle after an edit of each AU.",
            "Row: the AU that was edited. Column: the AU that was read. A perfect edit is 1.0 on "
            "the diagonal (green) and nothing elsewhere; what stands beside the diagonal leaked.",
        )
    reasons = evidence.metrics.get("filter", {}).get("rejected_by_reason")
    if reasons:
        found["rejections"] = Picture(
            partial(figures.rejections, reasons),
            "Bars: number of rejected faces for each reason.",
            "A face is counted under the first test that it fails. Those rejected for balance are "
            "sound, but of a kind of which more passed than of others.",
        )
    if "detection" in tables:
        found["f1_by_test_set"] = Picture(
            partial(figures.f1_by_test_set, tables["detection"]),
            "Bars: mean F1 of each training arm on each test set, with one dot a seed.",
            "Bar: mean over seeds. Whisker: standard error. Circle: one seed."
            + _without_scores(evidence),
        )
        found["f1_per_au"] = Picture(
            partial(figures.f1_per_au, evidence.home, aus),
            "F1 of each AU for each training arm.",
            f"On {evidence.home['test_set'].iloc[0]}. Dot: mean over seeds. Line: from the lowest "
            "to the highest seed. Look for AUs that are rare among real faces.",
        )
    if "au_pair_fpr" in tables:
        found["au_pair_fpr"] = Picture(
            partial(figures.pair_fpr, tables["au_pair_fpr"], aus),
            "Heatmaps of AU-pair false-positive rates by training arm, and their difference.",
            "How often the AU of the row is detected although it is absent, on faces that show the "
            "AU of the column. High rates are shortcuts: one AU taken as a sign of another.",
        )
    agreement = evidence.metrics.get("oracle", {}).get("pearson_per_au")
    if agreement:
        found["oracle"] = Picture(
            partial(figures.oracle_agreement, agreement, aus),
            "Bars: correlation of the oracle's readings with true labels for each AU.",
            "The oracle against labels it never saw. Where r is low, so is the weight of every "
            "figure that rests on its reading of that AU.",
        )
    return found


def write_figures(directory: Path, folder: Path) -> list[Path]:
    """Save the figures of an evaluate folder as PNG, for notebooks and trackers.

    Args:
        directory: what the evaluate stage left.
        folder: where the pictures go.
    """
    Path(folder).mkdir(parents=True, exist_ok=True)
    paths = []
    for name, picture in pictures(Evidence.read(directory)).items():
        paths.append(Path(folder) / f"{name}.png")
        to_png(picture.draw(), paths[-1])
    return paths


def _without_scores(evidence: Evidence) -> str:
    """Test sets that are annotated for none of the AUs that detectors learn."""
    scored = set(evidence.tables["detection"]["test_set"])
    names = [name for name in evidence.metrics.get("cross_dataset", {}) if name not in scored]
    return f" Not annotated for any AU that is trained: {', '.join(names)}." if names else ""


def _balance(counts: pd.DataFrame) -> str:
    """How skewed the AUs are before and after, in words."""
    wide = counts.pivot_table(index="au", columns="origin", values="active", aggfunc="sum")
    total, text = wide.sum(axis=1), ""
    if REAL in wide:
        real = wide[REAL].fillna(0)
        text = (
            f"Among real faces the commonest AU, {real.idxmax()}, is shown by {real.max():,.0f} "
            f"and the rarest, {real.idxmin()}, by {real.min():,.0f}{_ratio(real)}. "
        )
    if len(wide.columns) > 1:
        text += (
            f"With generated faces it is {total.max():,.0f} ({total.idxmax()}) against "
            f"{total.min():,.0f} ({total.idxmin()}){_ratio(total)}."
        )
    return text


def _ratio(counts: pd.Series) -> str:
    return f": {counts.max() / counts.min():.1f} to 1" if counts.min() else ""
