"""All sections of a project's params.yaml, checked together."""

from pathlib import Path

from pydantic import ValidationError

from facsimile.errors import FacsimileError
from tasks.params.baseline import Baseline
from tasks.params.datasets import Datasets
from tasks.params.detector import Detector
from tasks.params.edit import Edit
from tasks.params.editor import EditorParams
from tasks.params.encode import Encode
from tasks.params.evaluate import Evaluate
from tasks.params.filter import Filter
from tasks.params.ingest import Ingest
from tasks.params.neutral import Neutral
from tasks.params.neutralizer import Neutralizer
from tasks.params.sampling import Sampling
from tasks.params.section import PARAMS, Section, problems, read_yaml
from tasks.params.synthesize import Synthesize
from tasks.params.train import Train
from tasks.params.transfer import Transfer

SECTIONS: dict[str, type[Section] | None] = {
    "datasets": Datasets,
    "sampling": Sampling,
    "ingest": Ingest,
    "encode": Encode,
    "editor": EditorParams,
    "neutralizer": Neutralizer,
    "neutral": Neutral,
    "edit": Edit,
    "synthesize": Synthesize,
    "transfer": Transfer,
    "filter": Filter,
    "detector": Detector,
    "baseline": Baseline,
    "train": Train,
    "evaluate": Evaluate,
    # Frozen stages check their own section when they are run.
    "generator": None,
    "oracle": None,
}


def read_params(path: Path = PARAMS) -> dict[str, Section]:
    """All sections of a params file, checked.

    Raises:
        FacsimileError: an unreadable file, or keys that are unknown, absent or out of range, each
            of them named.
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


def _unknown_datasets(datasets: Datasets, ingest: Ingest) -> list[str]:
    declared = ingest.faces.keys() | ingest.paths.keys()
    return [
        f"datasets: {name!r} is neither under ingest.faces nor under ingest.paths"
        for name in datasets.all
        if name not in declared
    ]


def _nothing_to_edit(encode: Encode, neutral: Neutral) -> list[str]:
    if encode.neutral_per_subject.get("train") or neutral.faces:
        return []
    return [
        "encode.neutral_per_subject.train and neutral.faces are both 0: there is nothing to edit"
    ]
