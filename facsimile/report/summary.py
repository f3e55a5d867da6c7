"""The top of the report: a summary sentence, and headline figures as tiles."""

from dataclasses import dataclass

from facsimile.faces.origins import REAL
from facsimile.report.evidence import Evidence


@dataclass(frozen=True)
class Tile:
    """One headline figure.

    Attributes:
        label: name of the figure.
        value: the figure as text.
        detail: explanation or breakdown of the figure.
        verdict: "better", "worse", "no clear difference", or "" without a comparison.
    """

    label: str
    value: str
    detail: str
    verdict: str = ""


def verdict(evidence: Evidence) -> str:
    """The effect of augmentation on detectors, in one or two sentences."""
    arm = evidence.augmented
    real = evidence.number("f1", REAL, "mean")
    generated = evidence.number("f1", arm or "", "mean")
    if real is None or generated is None:
        return ""
    home = evidence.home
    where = f" on {home['test_set'].iloc[0]}" if home is not None else ""
    text = (
        f"Trained on {arm.replace('+', ' + ')} faces, detectors reach a mean F1 of "
        f"{generated:.3f}{where}; trained on real faces alone, {real:.3f}."
    )
    interval = evidence.metrics["f1"][arm].get("gain_interval")
    if interval and None not in interval:
        low, high = interval
        sure = "which excludes zero" if low * high > 0 else "which includes zero"
        text += (
            f" The 95 % interval of the difference over people is {signed(low, 3)} to "
            f"{signed(high, 3)}, {sure}."
        )
    return text


def tiles(evidence: Evidence) -> list[Tile]:
    """Headline figures for everything that was measured."""
    found = (
        _f1(evidence),
        _pair_fpr(evidence),
        _correlation(evidence),
        _edits(evidence),
        _neutralization(evidence),
        _identity(evidence),
        _filter(evidence),
    )
    return [tile for tile in found if tile]


def _f1(evidence: Evidence) -> Tile | None:
    arm = evidence.augmented
    real = evidence.number("f1", REAL, "mean")
    generated = evidence.number("f1", arm or "", "mean")
    if real is None or generated is None:
        return None
    scores = evidence.metrics["f1"]
    seeds = len(scores[arm].get("per_seed", []))
    detail = (
        f"{_with_error(evidence, REAL)} → {_with_error(evidence, arm)} "
        f"(± SE over {seeds} seed{'s' * (seeds != 1)})"
    )
    abroad = [
        f"{name} {_relative(means[REAL], means[arm])}"
        for name, means in _means_abroad(evidence).items()
        if {REAL, arm} <= set(means)
    ]
    if abroad:
        detail += f". On other datasets: {', '.join(abroad)}"
    interval = scores[arm].get("gain_interval")
    unclear = bool(interval) and None not in interval and interval[0] * interval[1] <= 0
    judged = "no clear difference" if unclear else _judge(real, generated, higher_is_better=True)
    return Tile(f"Mean F1, {arm} against {REAL}", _relative(real, generated), detail, judged)


def _means_abroad(evidence: Evidence) -> dict[str, dict[str, float]]:
    """Test set → arm → mean F1, for all but the test set of the training domain."""
    detection = evidence.tables.get("detection")
    if detection is None:
        return {}
    means = detection.groupby(["test_set", "arm"], sort=False)["f1"].mean()
    home = detection["test_set"].iloc[0]
    return {name: means[name].to_dict() for name in detection["test_set"].unique() if name != home}


def _relative(before: float, after: float) -> str:
    """Relative change in percent, or the absolute change if `before` is zero."""
    return f"{signed(100 * (after / before - 1), 1)} %" if before else signed(after, 3)


def _with_error(evidence: Evidence, arm: str) -> str:
    mean, error = evidence.number("f1", arm, "mean"), evidence.number("f1", arm, "se")
    return f"{mean:.3f}" if error is None else f"{mean:.3f} ± {error:.3f}"


def _pair_fpr(evidence: Evidence) -> Tile | None:
    arm = evidence.augmented
    real = evidence.number("au_pair_fpr", REAL, "mean")
    generated = evidence.number("au_pair_fpr", arm or "", "mean")
    if real is None or generated is None:
        return None
    return Tile(
        "AU-pair false positives",
        f"{100 * real:.1f} → {100 * generated:.1f} %",
        f"an absent AU detected beside a present one, real → {arm}",
        _judge(real, generated, higher_is_better=False),
    )


def _correlation(evidence: Evidence) -> Tile | None:
    real = evidence.number("inter_au_correlation", "estimator_real")
    generated = evidence.number("inter_au_correlation", "estimator_generated")
    if real is None or generated is None:
        return None
    return Tile(
        "Inter-AU correlation |r|",
        f"{real:.2f} → {generated:.2f}",
        "mean over AU pairs, real → generated faces, as read by the oracle",
        _judge(real, generated, higher_is_better=False),
    )


def _edits(evidence: Evidence) -> Tile | None:
    on, off = evidence.number("edit", "on_target"), evidence.number("edit", "off_target")
    if on is None or off is None:
        return None
    return Tile(
        "Edits: on / off target",
        f"{on:.2f} / {off:.2f}",
        "change read in the edited AU / mean absolute change in the others, per face and unit; "
        "ideal 1 / 0",
    )


def _neutralization(evidence: Evidence) -> Tile | None:
    before = evidence.number("neutralization", "residual_before")
    after = evidence.number("neutralization", "residual_after")
    if before is None or after is None:
        return None
    recall = evidence.number("neutralization", "recall")
    detail = "mean AU activity read in sampled faces, before → after"
    if recall is not None:
        detail += f"; AU recall of the network {100 * recall:.0f} %"
    return Tile(
        "Neutralization",
        f"{before:.3f} → {after:.3f}",
        detail,
        _judge(before, after, higher_is_better=False),
    )


def _identity(evidence: Evidence) -> Tile | None:
    drift, lost = evidence.number("identity", "drift"), evidence.number("identity", "lost")
    if drift is None:
        return None
    detail = "mean cosine distance between a face and its edit"
    if lost is not None:
        detail += f"; {100 * lost:.1f} % no longer verified as the same person"
    return Tile("Identity drift", f"{drift:.3f}", detail)


def _filter(evidence: Evidence) -> Tile | None:
    candidates = evidence.number("filter", "candidates")
    accepted = evidence.number("filter", "accepted")
    if not candidates or accepted is None:
        return None
    return Tile(
        "Accepted by the filter",
        f"{100 * accepted / candidates:.0f} %",
        f"{accepted:,.0f} of {candidates:,.0f} generated faces",
    )


def _judge(before: float, after: float, *, higher_is_better: bool) -> str:
    if before == after:
        return "no clear difference"
    return "better" if (after > before) == higher_is_better else "worse"


def signed(value: float, digits: int) -> str:
    """ "+1.50", "−0.20", with a true minus sign."""
    return f"{value:+.{digits}f}".replace("-", "−")
