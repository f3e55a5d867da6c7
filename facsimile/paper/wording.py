"""Numbers as the findings word them."""

import numpy as np

from facsimile.report.summary import signed


def divide(value: float, by: float) -> float:
    """A ratio; NaN if the denominator is 0."""
    return value / by if by else float("nan")


def as_change(value: float) -> str:
    """A change of a score: ``+0.047``."""
    return signed(value, 3)


def as_percent_change(value: float) -> str:
    """A relative change: ``+7.0 %`` for 0.07."""
    return f"{signed(100 * value, 1)} %"


def as_share(value: float) -> str:
    """``63 %`` for 0.63."""
    return f"{100 * value:.0f} %"


def as_multiple(value: float) -> str:
    """``2.7``; ∞ and unknown values in words."""
    if np.isnan(value):
        return "unknown"
    return "∞" if np.isinf(value) else f"{value:.1f}"
