"""The editors of the benchmark: every method, and variants that test a claim of its paper."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from facsimile.editor_options import OPTIONS


@dataclass(frozen=True)
class Contestant:
    """One editor of the benchmark.

    Attributes:
        method: key of ``OPTIONS``.
        title: name in tables and figures.
        changed: options that differ from those in params.yaml. A variant with changed options is
            measured, but no detector is trained on its faces.
    """

    method: str
    title: str
    changed: Mapping[str, Any] = field(default_factory=dict)


CONTESTANTS: dict[str, Contestant] = {
    **{method: Contestant(method, method.replace("-", " ")) for method in OPTIONS},
    "single-branch": Contestant("dual-branch", "single branch", {"dual": False}),
    "unfused": Contestant("relative", "relative without fusion", {"fusion": False}),
    "addition": Contestant("label-free", "label free, addition", {"interpolate": False}),
}
"""Name → editor, in the order of tables."""


@dataclass(frozen=True)
class Claim:
    """An ordering that a paper states.

    Attributes:
        text: the claim.
        source: paper and table.
        better, worse: keys of ``CONTESTANTS``.
        scores: scores of `facsimile.benchmark.scores.summarise` in which it is better.
    """

    text: str
    source: str
    better: str
    worse: str
    scores: tuple[str, ...]


CLAIMS = (
    Claim(
        "Two branches remove expressions better than one, and keep identity.",
        "AUEditNet, Table 4",
        "dual-branch",
        "single-branch",
        ("neutral_mse", "neutral_drift"),
    ),
    Claim(
        "Relative AUs reconstruct an unedited face better than absolute AUs.",
        "Ling et al., Table 3",
        "relative",
        "absolute",
        ("zero_l1", "zero_psnr", "zero_ssim"),
    ),
    Claim(
        "Fusing features of several scales brings expressions closer to the target.",
        "Ling et al., Table 1",
        "relative",
        "unfused",
        ("expression_distance",),
    ),
    Claim(
        "Interpolated codes are better than sums.",
        "LEED, Eq. (5) and (6)",
        "label-free",
        "addition",
        ("frechet", "ssim"),
    ),
)

QUOTED = (
    ("AUEditNet", "DISFA, 9 people", "ICC(3,1)", ".628"),
    ("AUEditNet", "DISFA, 9 people", "MSE of AUs, 0 to 5", ".283"),
    ("AUEditNet", "DISFA, 9 people", "MSE after removal, 0 to 5", ".102"),
    ("Ling et al. (relative)", "AffectNet", "expression distance", ".275"),
    ("GANimation (absolute)", "AffectNet", "expression distance", ".313"),
    ("Ling et al. (relative)", "AffectNet", "average content distance", ".375"),
    ("GANimation (absolute)", "AffectNet", "average content distance", ".395"),
    ("Ling et al. (relative)", "AffectNet", "L1, PSNR, SSIM of no edit", ".018, 31.89, .986"),
    ("GANimation (absolute)", "AffectNet", "L1, PSNR, SSIM of no edit", ".049, 23.76, .901"),
    ("LEED", "RaFD", "Fréchet distance, SSIM", "38.20, .883"),
    ("GANimation (absolute)", "RaFD", "Fréchet distance, SSIM", "45.55, .869"),
)
"""Figures of the papers: method, measured on, score, value."""
