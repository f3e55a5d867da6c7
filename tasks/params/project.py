"""All sections of a project's params.yaml, checked together."""

from pathlib import Path

from pydantic import ValidationError

from facsimile.errors import FacsimileError
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
from tasks.params.ingest import IngestParams
from tasks.params.neutral import NeutralParams
from tasks.params.neutralizer import NeutralizerParams
from tasks.params.operations import OperationsParams
from tasks.params.paper import PaperParams
from tasks.params.plain import PlainParams
from tasks.params.population import PopulationParams
from tasks.params.pretrain import PretrainParams
from tasks.params.sampling import SamplingParams
from tasks.params.section import PARAMS, Section, problems, read_yaml
from tasks.params.synthesize import SynthesizeParams
from tasks.params.train import TrainParams
from tasks.params.transfer import TransferParams
from tasks.params.trials import TrialsParams

SECTIONS: dict[str, type[Section] | None] = {
    "datasets": DatasetsParams,
    "sampling": SamplingParams,
    "ingest": IngestParams,
    "encode": EncodeParams,
    "editor": EditorParams,
    "neutralizer": NeutralizerParams,
    "neutral": NeutralParams,
    "edit": EditParams,
    "synthesize": SynthesizeParams,
    "transfer": TransferParams,
    "describe": DescribeParams,
    "filter": FilterParams,
    "detector": DetectorParams,
    "baseline": BaselineParams,
    "train": TrainParams,
    "evaluate": EvaluateParams,
    "population": PopulationParams,
    "plain": PlainParams,
    "pretrain": PretrainParams,
    "trials": TrialsParams,
    "paper": PaperParams,
    "fidelity": FidelityParams,
    "operations": OperationsParams,
    # Frozen stages check their own sections when they run.
    "generator": None,
    "oracle": None,
    "describer": None,
}


def read_params(path: Path = PARAMS) -> dict[str, Section]:
    """All sections of a params file, checked.

    Raises:
        FacsimileError: the file is unreadable, or keys are unknown, missing or out of range; the
            message names each of them.
    """
    values = read_yaml(path)
    wrong = [f"unknown section {name!r}" for name in values if name not in SECTIONS]
    sections = {}
    for name, model in SECTIONS.items():
        if model is None:
            continue
        try:
            sections[name] = model.model_validate(values.get(name) or {})
        except ValidationError as error:
            wrong += problems(name, error)
    if not wrong:
        wrong = _unknown_datasets(sections["datasets"], sections["ingest"])
        wrong += _nothing_to_edit(sections["encode"], sections["neutral"])
    if wrong:
        raise FacsimileError(f"{path}: {'; '.join(wrong)}")
    return sections


def _unknown_datasets(datasets: DatasetsParams, ingest: IngestParams) -> list[str]:
    declared = ingest.faces.keys() | ingest.paths.keys()
    return [
        f"datasets: {name!r} is neither under ingest.faces nor under ingest.paths"
        for name in datasets.all
        if name not in declared
    ]


def _nothing_to_edit(encode: EncodeParams, neutral: NeutralParams) -> list[str]:
    if encode.neutral_per_subject.get("train") or neutral.faces:
        return []
    return [
        "encode.neutral_per_subject.train and neutral.faces are both 0: there is nothing to edit"
    ]
