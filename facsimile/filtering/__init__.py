"""Accepts or rejects generated faces, with a reason for every rejection."""

from facsimile.filtering.filters import (
    DECISION_COLUMNS,
    Candidates,
    FaceFilter,
    FilterLimits,
    RealFaces,
)
from facsimile.filtering.identity import IdentitySpace
from facsimile.filtering.labels import MIN_PEARSON, LabelCorrector
from facsimile.filtering.realism import RealismRanker
from facsimile.filtering.requests import requested_codes

__all__ = [
    "DECISION_COLUMNS",
    "MIN_PEARSON",
    "Candidates",
    "FaceFilter",
    "FilterLimits",
    "IdentitySpace",
    "LabelCorrector",
    "RealFaces",
    "RealismRanker",
    "requested_codes",
]
