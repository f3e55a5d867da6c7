"""What the describer learns from and is measured with."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from facsimile.detection import AUEnsemble
from facsimile.editing import CodeEditor, Neutralizer, load_editor
from facsimile.errors import FacsimileError
from facsimile.faces.tables import to_uint8
from facsimile.filtering import LabelCorrector
from facsimile.generator import Codes, Generator, NoiseModel
from facsimile.synthesis import DemographicPredictors
from tasks.helpers.codes import read_encoded
from tasks.helpers.generator_loading import load_generator
from tasks.helpers.label_correction import fit_corrector
from tasks.helpers.new_people import fit_demographics, fit_noise
from tasks.params import DatasetsParams, SamplingParams, read_section
from tasks.shared.artefacts import BASELINE, EDITOR, NEUTRALIZER_FILE
from tasks.shared.stage import Compute, progress

BATCH = 32


@dataclass(frozen=True)
class DescriberProject:
    """What the stage reads from the pipeline.

    Attributes:
        datasets: names of the datasets.
        generator, editor, neutralizer: fitted by the pipeline.
        readers: AU detectors of stage `baseline`.
        corrector: fitted to their errors on validation people.
        annotated: training faces with AUs, encoded.
        attributes: faces of many people, encoded.
        demographics: predictors of gender and age group.
        noise: distribution of x_T of training faces.
    """

    datasets: DatasetsParams
    generator: Generator
    editor: CodeEditor
    neutralizer: Neutralizer
    readers: AUEnsemble
    corrector: LabelCorrector
    annotated: pd.DataFrame
    attributes: pd.DataFrame
    demographics: DemographicPredictors
    noise: NoiseModel

    @classmethod
    def read(cls, params: Path, device: str) -> "DescriberProject":
        """Raises FacsimileError if the pipeline has not run up to stage `editor`."""
        datasets = read_section(params, "datasets", DatasetsParams)
        compute = Compute(device, BATCH, 1)
        generator = load_generator(compute, read_section(params, "sampling", SamplingParams))
        editor = load_editor(EDITOR)
        if not isinstance(editor, CodeEditor):
            raise FacsimileError(
                f"{EDITOR}: the describer learns from edited codes, and editor {editor.name} edits "
                "pictures; set editor.method to linear or dual-branch"
            )
        return cls(
            datasets,
            generator,
            editor,
            Neutralizer.load(NEUTRALIZER_FILE),
            readers := AUEnsemble.load(BASELINE, device),
            fit_corrector(readers, datasets.aus),
            read_encoded(datasets.aus, generator, "train"),
            read_encoded(datasets.attributes, generator, "train"),
            fit_demographics(datasets, generator),
            fit_noise(datasets),
        )

    def decode(self, z: torch.Tensor, people: Sequence[str], seed: int, name: str) -> np.ndarray:
        """Pictures uint8 (N, H, W, 3) of codes (N, D), with the x_T of N people."""
        parts = []
        with progress(name, len(z)) as advance:
            for start in range(0, len(z), BATCH):
                rows = slice(start, start + BATCH)
                codes = Codes(z[rows])
                codes = self.noise.complete(codes, people[rows], [seed] * len(codes))
                parts.append(to_uint8(self.generator.decode(codes)))
                advance(len(codes))
        return np.concatenate(parts)
