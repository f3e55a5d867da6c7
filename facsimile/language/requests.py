"""What one generated face should show."""

from collections.abc import Mapping
from dataclasses import dataclass

from facsimile.faces.demographics import AGE_CUTS, AGE_GROUPS, GENDER_CUTS, GENDERS

Range = tuple[float, float]
"""Smallest and largest value, both included."""


def _cells(names: tuple[str, ...], cuts: tuple[float, ...]) -> dict[str, Range]:
    """Range of labels of each group; a label on a boundary belongs to the upper group."""
    edges = (0.0, *cuts, 1.0)
    just_below = 1e-6
    return {
        name: (edges[n], edges[n + 1] if n + 1 == len(names) else edges[n + 1] - just_below)
        for n, name in enumerate(names)
    }


GENDER_RANGES = _cells(GENDERS, GENDER_CUTS)
AGE_RANGES = _cells(AGE_GROUPS, AGE_CUTS)
PRESENT: Range = (0.5, 1.0)
ABSENT: Range = (0.0, 0.5 - 1e-6)
"""Ranges of eyeglasses and beard."""


@dataclass(frozen=True)
class Request:
    """AUs and person of a face.

    Attributes:
        aus: AU → intensity, 0 … 1; 0 or left out: absent.
        people: attribute, one of ``NUISANCES`` → range of its label. Others do not matter.
    """

    aus: Mapping[str, float]
    people: Mapping[str, Range]
