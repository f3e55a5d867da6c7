"""Read the faces that editors are fitted on."""

from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from facsimile.editing import AnnotatedFaces, CausalGraph, EditorData, Neutralizer
from facsimile.faces.aus import AUS, NUISANCES
from facsimile.faces.tables import decode_images, read_rows
from facsimile.generator import Codes, Generator
from tasks.helpers.codes import read_editable, read_encoded
from tasks.params import DatasetsParams
from tasks.shared.artefacts import AU_GRAPH, INGEST, NEUTRALIZER_FILE, learned_aus


def read_editor_data(datasets: DatasetsParams, generator: Generator) -> EditorData:
    """Training faces of both datasets, and validation faces of the AU set."""
    return EditorData(
        aus=learned_aus(datasets.aus),
        train=_read_annotated(datasets.aus, generator, "train"),
        val=_read_annotated(datasets.aus, generator, "val"),
        neutral=_read_neutral_codes(datasets.aus),
        attributes=_read_annotated(datasets.attributes, generator, "train"),
        graph=CausalGraph.from_yaml(AU_GRAPH),
        neutralizer=Neutralizer.load(NEUTRALIZER_FILE),
    )


def _read_annotated(dataset: str, generator: Generator, split: str) -> AnnotatedFaces:
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
    faces = read_rows(path, ids, ["sample_id", "image"])
    return decode_images(faces.set_index("sample_id").loc[ids].reset_index())


def _read_neutral_codes(dataset: str) -> Codes:
    """Codes, with x_T, of the neutral validation faces; empty if `encode` selected none."""
    faces = read_editable(dataset, "val")
    if faces.empty:
        return Codes(torch.empty(0, 0))
    return Codes.from_table(faces)
