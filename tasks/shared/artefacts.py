"""Paths of the artefacts, and readers of face tables shared by the stages."""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from facsimile.errors import FacsimileError
from facsimile.faces.annotation import explain_unused_aus, learnable_aus, mostly_annotated_aus
from facsimile.faces.aus import AUS, NUISANCES
from facsimile.faces.origins import generated_origins
from facsimile.faces.tables import read_faces, read_located, read_table

DATA = Path("data")
INGEST = DATA / "ingest"
ENCODE = DATA / "encode"
EDITOR = DATA / "editor"
NEUTRALIZER = DATA / "neutralizer"
NEUTRAL = DATA / "neutral"
BASELINE = DATA / "baseline"
EDIT = DATA / "edit"
SYNTHESIZE = DATA / "synthesize"
TRANSFER = DATA / "transfer"
DESCRIBE = DATA / "describe"
FILTER = DATA / "filter"
TRAIN = DATA / "train"
EVALUATE = DATA / "evaluate"
POPULATION = DATA / "population"
PLAIN = DATA / "plain"
PRETRAIN = DATA / "pretrain"
TRIALS = DATA / "trials"
FIDELITY = DATA / "fidelity"
EDITORS_FOLDER = DATA / "editors"
EDITOR_TRIALS = DATA / "editor_trials"
EDITOR_BENCHMARK = DATA / "editor_benchmark"
GENERATOR = DATA / "generator"
ORACLE = DATA / "oracle"
DESCRIBER = DATA / "describer"
AU_GRAPH = DATA / "config" / "au_graph.yaml"

NEUTRALIZER_FILE = NEUTRALIZER / "neutralizer.safetensors"

LABELS = [*AUS, *NUISANCES]

# Sets of the embedded world in POPULATION; empty if the AU dataset is not of that world.
MEASURED, FURTHER, BALANCED = "world-population", "world-further", "world-balanced"
UNLABELLED = "world-ffhq"


def generated_tables() -> list[Path]:
    """Folders of all generated faces, sorted by stage name."""
    return sorted(DATA / origin.stage / "faces" for origin in generated_origins().values())


def training_labels(dataset: str) -> np.ndarray:
    """AUs of the training faces of an ingested dataset, (N, 12), NaN = not annotated."""
    faces = read_faces(INGEST / dataset, ["split", *AUS])
    return faces.loc[faces["split"] == "train", list(AUS)].to_numpy(float)


def neutral_aus(dataset: str) -> tuple[str, ...]:
    """AUs that must be absent from neutral faces; see `mostly_annotated_aus`."""
    return _select_aus(dataset, mostly_annotated_aus)


def learned_aus(dataset: str) -> tuple[str, ...]:
    """AUs that models learn from the training faces; see `learnable_aus`."""
    return _select_aus(dataset, learnable_aus)


def _select_aus(dataset: str, select: Callable[[np.ndarray], tuple[str, ...]]) -> tuple[str, ...]:
    """Select AUs by the labels of the training faces; prints the selection unless it is all AUs.

    Raises:
        FacsimileError: no AU is selected.
    """
    labels = training_labels(dataset)
    aus = select(labels)
    if not aus:
        raise FacsimileError(
            f"{INGEST / dataset}: split train: {explain_unused_aus(labels, ())}; annotate an AU as "
            "absent on one face and present on another, otherwise there is nothing to edit or learn"
        )
    if aus != AUS:
        unused = explain_unused_aus(labels, aus)
        print(f"uses {', '.join(aus)}; skipped: {unused}", file=sys.stderr)
    return aus


def select_split(faces: pd.DataFrame, split: str, source: Path) -> pd.DataFrame:
    """Rows of one split. Raises FacsimileError if there are none."""
    rows = faces[faces["split"] == split].reset_index(drop=True)
    if rows.empty:
        raise FacsimileError(f"{source}: no face in split {split}")
    return rows


def read_splits(dataset: str, splits: Sequence[str], columns: Sequence[str]) -> list[pd.DataFrame]:
    """Rows of each split of an ingested dataset, which is read only once; see `read_located`."""
    path = INGEST / dataset
    faces = read_located(path, columns)
    return [select_split(faces, split, path) for split in splits]


def unannotated_ids() -> pd.Series:
    """Ids of the faces that `neutral` selected; empty if it has not run."""
    path = NEUTRAL / "faces"
    return read_table(path, ["sample_id"])["sample_id"] if path.exists() else pd.Series(dtype=str)
