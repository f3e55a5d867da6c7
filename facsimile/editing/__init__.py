"""Controlled editing of faces in the semantic latent space of a generator."""

from facsimile.editing.base import AnnotatedFaces, Editor, EditorData
from facsimile.editing.causal_graph import CausalGraph, CausalWarning
from facsimile.editing.edit import EditOperator
from facsimile.editing.linear_editor import LinearEditor
from facsimile.editing.neutralization import neutralize
from facsimile.editing.neutralizer import Neutralizer
from facsimile.editing.neutralizer_training import NeutralizerTraining
from facsimile.editing.plan import least_active, neutral_faces, plan_edits
from facsimile.editing.registry import EDITORS, editor_file, load_editor, save_editor
from facsimile.editing.transfer import TransferOperator, person_codes, plan_transfers
from facsimile.editor_options import LinearOptions

__all__ = [
    "EDITORS",
    "AnnotatedFaces",
    "CausalGraph",
    "CausalWarning",
    "EditOperator",
    "Editor",
    "EditorData",
    "LinearEditor",
    "LinearOptions",
    "Neutralizer",
    "NeutralizerTraining",
    "TransferOperator",
    "editor_file",
    "least_active",
    "load_editor",
    "neutral_faces",
    "neutralize",
    "person_codes",
    "plan_edits",
    "plan_transfers",
    "save_editor",
]
