"""Controlled editing and synthesis in the semantic latent space of a face generator."""

from facsimile.editing.calibration import (
    crosstalk,
    edited_rise,
    image_scales,
    real_rise,
    stretch,
    unmix,
)
from facsimile.editing.causal_graph import CausalGraph, CausalWarning
from facsimile.editing.demographics import DemographicPredictors
from facsimile.editing.directions import DIRECTION_SCHEMA, Directions, fit_directions
from facsimile.editing.edit import EditOperator, edit
from facsimile.editing.neutralizer import Neutralizer, NeutralizerTraining, neutralize
from facsimile.editing.plan import least_active, neutral_faces, plan_edits
from facsimile.editing.synthesis import (
    IDENTITY_SCHEMA,
    IdentityOperator,
    SynthesisOperator,
    plan_synthesis,
    sample_identities,
)
from facsimile.editing.transfer import TransferOperator, person_codes, plan_transfers

__all__ = [
    "DIRECTION_SCHEMA",
    "IDENTITY_SCHEMA",
    "CausalGraph",
    "CausalWarning",
    "DemographicPredictors",
    "Directions",
    "EditOperator",
    "IdentityOperator",
    "Neutralizer",
    "NeutralizerTraining",
    "SynthesisOperator",
    "TransferOperator",
    "crosstalk",
    "edit",
    "edited_rise",
    "fit_directions",
    "image_scales",
    "least_active",
    "neutral_faces",
    "neutralize",
    "person_codes",
    "plan_edits",
    "plan_synthesis",
    "plan_transfers",
    "real_rise",
    "sample_identities",
    "stretch",
    "unmix",
]
