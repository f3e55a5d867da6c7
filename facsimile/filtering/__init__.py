"""Acceptance of generated faces, with the reason for every rejection."""

from facsimile.filtering.filters import DECISION_COLUMNS, REASONS, FilterLimits, filter_faces
from facsimile.filtering.identity import IdentitySpace
from facsimile.filtering.labels import MIN_PEARSON, corrected_labels
from facsimile.filtering.realism import realism_ranks

__all__ = [
    "DECISION_COLUMNS",
    "MIN_PEARSON",
    "REASONS",
    "FilterLimits",
    "IdentitySpace",
    "corrected_labels",
    "filter_faces",
    "realism_ranks",
]
