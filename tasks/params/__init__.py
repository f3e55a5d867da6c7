"""params.yaml as types: one module a section, and the reader of the whole file."""

from tasks.params.baseline import Baseline
from tasks.params.datasets import Datasets
from tasks.params.detector import Detector
from tasks.params.edit import Edit
from tasks.params.editor import EditorParams
from tasks.params.encode import Encode
from tasks.params.evaluate import Evaluate
from tasks.params.filter import Filter
from tasks.params.ingest import LANDMARK_COLUMNS, Ingest, Source
from tasks.params.neutral import Neutral
from tasks.params.neutralizer import Neutralizer
from tasks.params.project import read_params
from tasks.params.sampling import Sampling
from tasks.params.section import PARAMS, Section, read_section
from tasks.params.synthesize import Synthesize
from tasks.params.train import Train
from tasks.params.transfer import Transfer

__all__ = [
    "LANDMARK_COLUMNS",
    "PARAMS",
    "Baseline",
    "Datasets",
    "Detector",
    "Edit",
    "EditorParams",
    "Encode",
    "Evaluate",
    "Filter",
    "Ingest",
    "Neutral",
    "Neutralizer",
    "Sampling",
    "Section",
    "Source",
    "Synthesize",
    "Train",
    "Transfer",
    "read_params",
    "read_section",
]
