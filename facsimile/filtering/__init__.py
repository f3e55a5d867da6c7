"""Acceptance of generated faces, with the reason for every rejection."""

from facsimile.filtering.filters import DECISION_COLUMNS, REASONS, FilterLimits, filter_faces
from facsimile.filtering.identity import IdentitySpace
from facsimile.filtering.realism import realism_ranks

__all__ = [
    "DECISION_COLUMNS",
    "REASONS",
    "FilterLimits",
    "IdentitySpace",
    "filter_faces",
    "realism_ranks",
]
