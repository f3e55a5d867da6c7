"""The tables of the comparison of editors."""

from collections.abc import Iterator, Mapping
from typing import Any

from facsimile.benchmark.contestants import CONTESTANTS, QUOTED
from facsimile.faces.origins import REAL
from facsimile.result_table import Table, interval_text

Values = Mapping[str, Any]

_EDITS = {
    "au_mae": "AU error",
    "mse": "AU MSE",
    "icc": "ICC(3,1)",
    "expression_distance": "expression distance",
    "content_distance": "content distance",
    "drift": "identity drift",
    "ssim": "SSIM",
    "psnr": "PSNR",
    "frechet": "Fréchet distance",
}
_OTHERS = {
    "neutral_mse": "AU MSE after removal",
    "neutral_drift": "drift after removal",
    "zero_l1": "L1 of no edit",
    "zero_psnr": "PSNR of no edit",
    "zero_ssim": "SSIM of no edit",
    "copied_au_mae": "AU error, copied",
    "copied_drift": "drift, copied",
    "on_target": "rise of the edited AU",
    "leakage": "change of other AUs",
    "nuisances": "change of attributes",
    "linearity": "R² over s",
    "faces_per_second": "faces/s",
    "processor_seconds": "training, CPU s",
}
SCORE_NAMES = _EDITS | _OTHERS
"""Score → column heading."""


def title(name: str) -> str:
    """Name of a contestant, or of real faces alone."""
    return "real faces alone" if name == REAL else CONTESTANTS[name].title


def edits(results: Values) -> Table:
    """Edits towards exact targets."""
    scores = results["scores"]
    counts = next(iter(scores.values()))["au_mae_by_count"]
    columns = [
        "editor",
        *_EDITS.values(),
        *(f"AU error, {n} AU{'s' * (int(n) > 1)}" for n in counts),
    ]
    rows = [
        [
            title(name),
            *(values[score] for score in _EDITS),
            *values["au_mae_by_count"].values(),
        ]
        for name, values in scores.items()
    ]
    plain = results["unedited"]
    rows.append(
        ["not edited", *(plain.get(score) for score in _EDITS), *[None] * len(counts)],
    )
    return Table(columns, rows)


def others(results: Values) -> Table:
    """Removal, no edit, copied expressions, single AUs and cost."""
    rows = [
        [title(name), *(values.get(score) for score in _OTHERS)]
        for name, values in results["scores"].items()
    ]
    return Table(["editor", *_OTHERS.values()], rows)


def differences(results: Values) -> Table:
    """Differences to the linear editor on the same pairs."""
    rows = [
        [
            title(row["editor"]),
            SCORE_NAMES[row["score"]],
            interval_text({"mean": row["difference"], "low": row["low"], "high": row["high"]}),
        ]
        for row in results["differences"]
    ]
    return Table(["editor", "score", "difference to linear"], rows)


def detectors(results: Values) -> Table | None:
    """Detectors trained on real faces and those of an editor; None if there are none yet."""
    if not any(arm != REAL for arms in results["detectors"].values() for arm in arms):
        return None
    rows = [
        [
            place,
            title(arm),
            score["f1"]["mean"],
            score["icc"]["mean"],
            score["pair_fpr"]["mean"],
            interval_text(score["gain"]) if "gain" in score else "",
            interval_text(score["fpr_change"]) if "fpr_change" in score else "",
        ]
        for place, arms in results["detectors"].items()
        for arm, score in arms.items()
    ]
    columns = ["people", "trained on", "F1", "ICC(3,1)", "AU-pair FPR", "gain of F1", "FPR change"]
    return Table(columns, rows)


def claims(results: Values) -> Table:
    """Orderings that the papers state."""
    rows = [
        [
            row["text"],
            row["source"],
            SCORE_NAMES[row["score"]],
            row["better"],
            row["worse"],
            {True: "yes", False: "no", None: "no difference"}[row["holds"]],
        ]
        for row in results["claims"]
    ]
    return Table(["claim", "source", "score", "better", "worse", "holds here"], rows)


def quoted(results: Values) -> Table:
    """Figures of the papers, measured on other faces."""
    return Table(["method", "measured on", "score", "value"], [list(row) for row in QUOTED])


SECTIONS = {
    "Edits": (
        edits,
        "Neutral faces of new people are edited to targets that are rendered exactly.",
    ),
    "Removal, no edit, copies, single AUs": (
        others,
        "Removal: all AUs of the target are set to 0. No edit: nothing changes. Copied: the "
        "expression of another person, from its picture if the editor takes references, else from "
        "AU readings. Single AUs: each AU alone to 1; changes of other AUs are means of "
        "magnitudes.",
    ),
    "Differences to the linear editor": (differences, "With 95 % intervals over people."),
    "Detectors": (
        detectors,
        "Trained on real faces and on the same real faces edited to the same AUs by each editor, "
        "without a filter; labels are the planned AUs. Intervals cover people and seeds.",
    ),
    "Claims of the papers": (claims, "Lower or higher is better as the claim says."),
    "Figures of the papers": (
        quoted,
        "Quoted. They are measured on other faces with other estimators: do not compare them with "
        "the tables above.",
    ),
}
"""Heading → table and how to read it."""


def sections(results: Values) -> Iterator[tuple[str, str, Table]]:
    """Heading, note and table of each section that has any results."""
    for heading, (make, note) in SECTIONS.items():
        if table := make(results):
            yield heading, note, table


def finding(results: Values) -> str:
    """The result in one sentence."""
    scores, best = results["scores"], results["best"]
    winner = best["au_mae"]
    text = (
        f"{title(winner).capitalize()} comes closest to the target AUs: error "
        f"{scores[winner]['au_mae']:.3f} over {results['pairs']} pairs of {results['people']} new "
        f"people, against {results['unedited']['au_mae']:.3f} without an edit; its ICC is "
        f"{scores[winner]['icc']:.2f}, and its identity drift {scores[winner]['drift']:.3f} "
        f"(threshold {results['identity_threshold']:.3f})."
    )
    arms = next(iter(results["detectors"].values()))
    trained = {arm: score["f1"]["mean"] for arm, score in arms.items() if arm != REAL}
    if trained:
        first = max(trained, key=trained.get)
        text += (
            f" Detectors gain most from the faces of {title(first)}: F1 {trained[first]:.3f}, "
            f"with real faces alone {arms[REAL]['f1']['mean']:.3f}."
        )
    return text
