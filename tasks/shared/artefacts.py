"""Where the stages keep their artefacts, and the reads of face tables that they share."""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from facsimile.errors import FacsimileError
from facsimile.faces.annotation import learnable_aus, mostly_annotated_aus, what_is_left_out
from facsimile.faces.aus import AUS, NUISANCES
from facsimile.faces.origins import generated_origins
from facsimile.faces.tables import read_faces, read_table

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
FILTER = DATA / "filter"
TRAIN = DATA / "train"
GENERATOR = DATA / "generator"
ORACLE = DATA / "oracle"
AU_GRAPH = DATA / "config" / "au_graph.yaml"

NEUTRALIZER_FILE = NEUTRALIZER / "neutralizer.safetensors"

LABELS = [*AUS, *NUISANCES]


def generated_tables() -> list[Path]:
    """Folders of all generated faces, in the order of the names of their stages."""
    return sorted(DATA / origin.stage / "faces" for origin in generated_origins().values())


def training_labels(dataset: str) -> np.ndarray:
    """AUs of the training faces of an ingested dataset, (N, 12), NaN = not annotated."""
    faces = read_faces(INGEST / dataset, ["split", *AUS])
    return faces.loc[faces["split"] == "train", list(AUS)].to_numpy(float)


def neutral_aus(dataset: str) -> tuple[str, ...]:
    """AUs that a neutral face is to be without: see `mostly_annotated_aus`."""
    return _at_hand(dataset, mostly_annotated_aus)


def taught_aus(dataset: str) -> tuple[str, ...]:
    """AUs that models learn from training faces: see `facsimile.faces.annotation.learnable_aus`."""
    return _at_hand(dataset, learnable_aus)


def _at_hand(dataset: str, which: Callable[[np.ndarray], tuple[str, ...]]) -> tuple[str, ...]:
    """Of the training faces; says which AUs these are where they are not all.

    Raises:
        FacsimileError: there is none.
    """
    labels = training_labels(dataset)
    aus = which(labels)
    if not aus:
        raise FacsimileError(
            f"{INGEST / dataset}: split train: {what_is_left_out(labels, ())}; annotate an AU as "
            "absent on one face and present on another, else there is nothing to edit or to learn"
        )
    if aus != AUS:
        left_out = what_is_left_out(labels, aus)
        print(f"works on {', '.join(aus)}; left out {left_out}", file=sys.stderr)
    return aus


def of_split(faces: pd.DataFrame, split: str, source: Path) -> pd.DataFrame:
    """Rows of one split. Raises FacsimileError if there are none."""
    rows = faces[faces["split"] == split].reset_index(drop=True)
    if rows.empty:
        raise FacsimileError(f"{source}: no face in split {split}")
    return rows


def read_splits(dataset: str, splits: Sequence[str], columns: Sequence[str]) -> list[pd.DataFrame]:
    """Rows of each of these splits of an ingested dataset, which is read once."""
    path = INGEST / dataset
    faces = read_faces(path, columns)
    return [of_split(faces, split, path) for split in splits]


def unannotated_ids() -> pd.Series:
    """Ids of the faces that `neutral` chose; none where it has not run."""
    path = NEUTRAL / "faces"
    return read_table(path, ["sample_id"])["sample_id"] if path.exists() else pd.Series(dtype=str)
