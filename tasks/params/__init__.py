"""Typed params.yaml: one module per section, and a reader of the whole file."""

from tasks.params.baseline import BaselineParams
from tasks.params.datasets import DatasetsParams
from tasks.params.describe import DescribeParams
from tasks.params.detector import DetectorParams
from tasks.params.edit import EditParams
from tasks.params.editor import EditorParams
from tasks.params.encode import EncodeParams
from tasks.params.evaluate import EvaluateParams
from tasks.params.fidelity import FidelityParams
from tasks.params.filter import FilterParams
from tasks.params.ingest import LANDMARK_COLUMNS, IngestParams, SourceParams
from tasks.params.neutral import NeutralParams
from tasks.params.neutralizer import NeutralizerParams
from tasks.params.operations import OperationsParams
from tasks.params.paper import PaperParams
from tasks.params.plain import PlainParams
from tasks.params.population import PopulationParams
from tasks.params.pretrain import PretrainParams
from tasks.params.project import read_params
from tasks.params.sampling import SamplingParams
from tasks.params.section import PARAMS, Section, read_section
from tasks.params.synthesize import SynthesizeParams
from tasks.params.train import TrainParams
from tasks.params.transfer import TransferParams
from tasks.params.trials import TrialsParams

__all__ = [
    "LANDMARK_COLUMNS",
    "PARAMS",
    "BaselineParams",
    "DatasetsParams",
    "DescribeParams",
    "DetectorParams",
    "EditParams",
    "EditorParams",
    "EncodeParams",
    "EvaluateParams",
    "FidelityParams",
    "FilterParams",
    "IngestParams",
    "NeutralParams",
    "NeutralizerParams",
    "OperationsParams",
    "PaperParams",
    "PlainParams",
    "PopulationParams",
    "PretrainParams",
    "SamplingParams",
    "Section",
    "SourceParams",
    "SynthesizeParams",
    "TrainParams",
    "TransferParams",
    "TrialsParams",
    "read_params",
    "read_section",
]
