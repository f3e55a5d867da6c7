"""What was measured of the generated faces themselves, and in one sentence what it means.

Source: "Controlled Face Manipulation and Synthesis for Data Augmentation", IV-B (Fig. 1, 4 and 5).
As `facsimile.paper.findings`, for the results of stage `evaluate`.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from facsimile.faces.aus import AUS
from facsimile.faces.origins import REAL
from facsimile.measurement.summaries import mean_abs_correlation
from facsimile.paper.wording import divide
from facsimile.report.figures import square


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
    return divide(float(counts.max()), float(counts.min()))


def correlation(correlations: pd.DataFrame) -> dict[str, Any]:
    """Fig. 5: correlation of all pairs of AUs.

    Args:
        correlations: panel, au, other, r.
    """
    panels = {
        panel: square(table, "au", "other", "r")
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
    ratio = divide(means["estimator_generated"], means["estimator_real"])
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


def neutralization(evaluated: Mapping[str, Any]) -> dict[str, Any]:
    """How neutral synthetic people are before and after neutralization.

    Args:
        evaluated: metrics of stage evaluate.
    """
    values = evaluated["neutralization"]
    before, after = values["residual_before"], values["residual_after"]
    return values | {
        "finding": f"The mean AU activity of sampled people, as read by the oracle, goes from "
        f"{before:.3f} to {after:.3f}, {divide(after, before):.2f} times as much."
    }
