"""Controlled editing of faces in the semantic latent space of a generator."""

from facsimile.editing.base import (
    AnnotatedFaces,
    Change,
    CodeEditor,
    EditedFaces,
    Editor,
    EditorData,
    PictureEditor,
    SourceFaces,
)
from facsimile.editing.causal_graph import CausalGraph, CausalWarning
from facsimile.editing.dual_branch import DualBranchEditor
from facsimile.editing.edit import EditOperator
from facsimile.editing.label_free import LabelFreeEditor
from facsimile.editing.linear_editor import LinearEditor
from facsimile.editing.neutralization import neutralize
from facsimile.editing.neutralizer import Neutralizer
from facsimile.editing.neutralizer_training import NeutralizerTraining
from facsimile.editing.picture_editors import AbsoluteEditor, RelativeEditor, interpolate
from facsimile.editing.plan import least_active, neutral_faces, plan_edits
from facsimile.editing.registry import EDITORS, editor_file, load_editor, save_editor
from facsimile.editing.transfer import TransferOperator, person_codes, plan_transfers
from facsimile.editor_options import DualBranchOptions, LabelFreeOptions, LinearOptions

__all__ = [
    "EDITORS",
    "AbsoluteEditor",
    "AnnotatedFaces",
    "CausalGraph",
    "CausalWarning",
    "Change",
    "CodeEditor",
    "DualBranchEditor",
    "DualBranchOptions",
    "EditOperator",
    "EditedFaces",
    "Editor",
    "EditorData",
    "LabelFreeEditor",
    "LabelFreeOptions",
    "LinearEditor",
    "LinearOptions",
    "Neutralizer",
    "NeutralizerTraining",
    "PictureEditor",
    "RelativeEditor",
    "SourceFaces",
    "TransferOperator",
    "editor_file",
    "interpolate",
    "least_active",
    "load_editor",
    "neutral_faces",
    "neutralize",
    "person_codes",
    "plan_edits",
    "plan_transfers",
    "save_editor",
]
