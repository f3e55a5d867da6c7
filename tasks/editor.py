"""Fit the editor that changes Action Units.

    python -m tasks.editor [--device cuda]

Reads   data/ingest, data/encode, data/generator, data/config/au_graph.yaml; params datasets,
        sampling, editor.
Writes  data/editor/editor.json (name of the editor), its fitted parameters (linear editor:
        directions.parquet and rises.parquet), metrics.json.
"""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from facsimile.editing import EDITORS, AnnotatedFaces, CausalGraph, EditorData, save_editor
from facsimile.faces.aus import AUS, NUISANCES
from facsimile.faces.tables import decode_images, read_faces
from facsimile.generator import Codes, Generator
from tasks.helpers.codes import read_editable, read_encoded
from tasks.helpers.generator_loading import load_generator
from tasks.params import DatasetsParams, EditorParams, SamplingParams
from tasks.shared.artefacts import AU_GRAPH, INGEST, learned_aus
from tasks.shared.stage import Compute, main, progress


def run(
    out: Path,
    compute: Compute,
    datasets: DatasetsParams,
    sampling: SamplingParams,
    editor: EditorParams,
) -> dict[str, Any]:
    """Fit on the training splits of both datasets; calibrate on validation faces of the AU set."""
    generator = load_generator(compute, sampling)
    data = EditorData(
        aus=learned_aus(datasets.aus),
        train=read_annotated(datasets.aus, generator, "train"),
        val=read_annotated(datasets.aus, generator, "val"),
        neutral=read_neutral_codes(datasets.aus),
        attributes=read_annotated(datasets.attributes, generator, "train"),
        graph=CausalGraph.from_yaml(AU_GRAPH),
    )
    fitted = EDITORS[editor.method](editor.options).fit(data, generator, progress)
    save_editor(fitted, out)
    metrics = fitted.metrics()
    return metrics if fitted.aus == AUS else metrics | {"aus": len(fitted.aus)}


def read_annotated(dataset: str, generator: Generator, split: str) -> AnnotatedFaces:
    """Encoded faces of one split. Their images are decoded only on request."""
    faces = read_encoded(dataset, generator, split)
    return AnnotatedFaces(
        codes=Codes.from_table(faces),
        aus=faces[list(AUS)].to_numpy(float),
        nuisances=faces[list(NUISANCES)].to_numpy(float),
        subjects=faces["subject_id"].to_numpy(),
        read_images=partial(_read_images, INGEST / dataset, faces["sample_id"]),
    )


def _read_images(path: Path, ids: pd.Series) -> np.ndarray:
    faces = read_faces(path, ["sample_id", "image"])
    return decode_images(faces.set_index("sample_id").loc[ids].reset_index())


def read_neutral_codes(dataset: str) -> Codes:
    """Codes, with x_T, of the neutral validation faces; empty if `encode` selected none."""
    faces = read_editable(dataset, "val")
    if faces.empty:
        return Codes(torch.empty(0, 0))
    return Codes.from_table(faces)


if __name__ == "__main__":
    main("editor", run)
