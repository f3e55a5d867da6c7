"""What was measured of the claims about edits, and in one sentence what it means.

Source: "Controlled Face Manipulation and Synthesis for Data Augmentation", IV-D and IV-E (Fig. 10,
Table I, Fig. 12). As `facsimile.paper.findings`, for the results of stage `fidelity`.
"""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from facsimile.faces.aus import AUS
from facsimile.paper.edit_fidelity import DEFAULT, EXACT, IDENTITY, READ, SCORES, UNEDITED
from facsimile.paper.wording import as_share

ABLATION = ("base", "au-projected", "conditioned", "conditioned+projected")
NAMES = {
    UNEDITED: "not edited",
    "base": "base",
    "au-projected": "AU projection",
    "conditioned": "conditioned",
    "conditioned+projected": "conditioned + projected",
    "plain": "as published",
    DEFAULT: "default",
    IDENTITY: "code of the target",
    EXACT: "exact target",
}
"""Name of each editor in figures and tables."""


def fidelity(summary: pd.DataFrame, metrics: Mapping[str, Any]) -> dict[str, Any]:
    """Fig. 10: AU error and identity drift by the number of AUs edited at once.

    Args:
        summary: editor, n_aus (null for all pairs) and scores.
        metrics: metrics of stage `fidelity`.
    """
    overall = summary[summary["n_aus"].isna()].set_index("editor")
    by_count = {
        score: {
            editor: rows.set_index("n_aus")[score].to_dict()
            for editor, rows in summary.dropna(subset="n_aus").groupby("editor", sort=False)
        }
        for score in ("au_mae", "drift")
    }
    threshold = metrics["identity_threshold"]
    worst = max(by_count["drift"][DEFAULT].values())
    errors = list(by_count["au_mae"][DEFAULT].values())
    others = [f"{overall.at[UNEDITED, 'au_mae']:.3f} without any edit"]
    if "plain" in overall.index:  # it may be impossible to fit to a user's faces
        others.append(f"{overall.at['plain', 'au_mae']:.3f} with the method as published")
    return {
        "pairs": metrics["pairs"],
        "people": metrics["people"],
        "identity_threshold": threshold,
        "estimator_error": metrics["estimator_mae"],
        "editors": overall[[*SCORES, *(f"{score}_se" for score in SCORES), "lost"]].to_dict(
            "index"
        ),
        "by_count": by_count,
        "finding": (
            f"The AU error is {overall.at[DEFAULT, 'au_mae']:.3f}, against {' and '.join(others)}; "
            f"it goes from {errors[0]:.3f} for one AU to {errors[-1]:.3f} for {len(errors)}. "
            f"Identity drift is at most {worst:.3f}, "
            f"{'below' if worst < threshold else 'above'} the threshold of {threshold:.3f}."
        ),
    }


def disentanglement(
    summary: pd.DataFrame, effects: pd.DataFrame, metrics: Mapping[str, Any]
) -> dict[str, Any]:
    """Table I and Fig. 12: SSIM to the target, and what edits of one AU change beside it.

    Args:
        summary: as for `fidelity`.
        effects: editor, edited_au, read, signed, absolute, deviation.
        metrics: metrics of stage `fidelity`.
    """
    overall = summary[summary["n_aus"].isna()].set_index("editor")
    known = [name for name in (UNEDITED, *ABLATION, "plain", DEFAULT) if name in overall.index]
    singles = metrics["singles"]
    table = {
        editor: {
            "ssim": overall.at[editor, "ssim"],
            "ssim_se": overall.at[editor, "ssim_se"],
            "au_mae": overall.at[editor, "au_mae"],
        }
        | {
            name: singles.get(editor, {}).get(name)
            for name in ("on_target", "leakage", "nuisances")
        }
        for editor in known
    }
    if EXACT in singles:
        table[EXACT] = {
            name: singles[EXACT][name] for name in ("on_target", "leakage", "nuisances")
        }
    matrices = {
        editor: {
            kind: rows.pivot(index="edited_au", columns="read", values=kind)
            .reindex(index=list(AUS), columns=list(READ))
            .to_numpy(float)
            for kind in ("signed", "absolute")
        }
        for editor, rows in effects.groupby("editor", sort=False)
    }
    steps = [name for name in ("base", "conditioned", "conditioned+projected") if name in table]
    ssim = " → ".join(f"{table[name]['ssim']:.4f}" for name in steps)
    leakage = " → ".join(f"{table[name]['leakage']:.3f}" for name in steps)
    return {
        "editors": table,
        "read": list(READ),
        "matrices": matrices,
        "finding": (
            f"From base to conditioned to also projected, SSIM goes {ssim} (not edited: "
            f"{table[UNEDITED]['ssim']:.4f}) and leakage into other AUs, per face and unit of "
            f"edit, {leakage}."
        ),
    }


def linearity(linear: pd.DataFrame, metrics: Mapping[str, Any]) -> dict[str, Any]:
    """Rise of the edited AU by the strength of the edit.

    Args:
        linear: editor, edited_au, s, on_target, off_target.
        metrics: metrics of stage `fidelity`.
    """
    mean = linear.groupby(["editor", "s"], sort=False)[["on_target", "off_target"]].mean()
    curves = {
        editor: {
            kind: rows.droplevel("editor")[kind].to_dict() for kind in ("on_target", "off_target")
        }
        for editor, rows in mean.groupby("editor", sort=False)
    }
    ours = metrics["linearity"][DEFAULT]
    half, full = ours.get("rise_0.5"), ours["rise_1"]
    finding = f"A straight line explains {as_share(ours['r2'])} of the rise of the edited AU; "
    if half is not None:
        finding += f"an edit by 0.5 raises it by {half:.2f}, "
    return {
        "curves": curves,
        "fit": metrics["linearity"],
        "finding": f"{finding}an edit by 1 raises it by {full:.2f}.",
    }
