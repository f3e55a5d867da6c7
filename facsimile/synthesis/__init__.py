"""Synthetic people: sampled codes, balanced over demographic cells and neutralized."""

from facsimile.synthesis.identities import (
    IDENTITY_SCHEMA,
    IdentityOperator,
    sample_identities,
)
from facsimile.synthesis.predictors import DemographicPredictors

__all__ = ["IDENTITY_SCHEMA", "DemographicPredictors", "IdentityOperator", "sample_identities"]
