"""Codes of faces, as several stages read them."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from facsimile.errors import FacsimileError
from facsimile.faces.tables import read_faces, read_table
from tasks.shared.artefacts import (
    ENCODE,
    GENERATOR,
    INGEST,
    LABELS,
    NEUTRAL,
    of_split,
)

if TYPE_CHECKING:
    from facsimile.generator import Generator


def read_encoded(dataset: str, generator: "Generator", split: str | None = None) -> pd.DataFrame:
    """Labels of encoded faces and their codes ``z`` (D,).

    Raises:
        FacsimileError: no face of the split, faces and codes that do not match, or codes of another
            generator.
    """
    rows = read_codes(dataset, ["sample_id", "subject_id", "split", *LABELS])
    if split:
        rows = of_split(rows, split, INGEST / dataset)
    if (dimensions := len(rows["z"].iloc[0])) != generator.z_dim:
        raise FacsimileError(
            f"{ENCODE / dataset}: codes have {dimensions} dimensions, "
            f"those of {GENERATOR} {generator.z_dim}; encode again"
        )
    return rows


def read_codes(dataset: str, columns: Sequence[str]) -> pd.DataFrame:
    """Columns of encoded faces, sample_id among them, and their codes ``z`` (D,).

    Raises:
        FacsimileError: faces and codes that do not match.
    """
    faces = read_faces(INGEST / dataset, columns)
    latents = read_table(ENCODE / dataset, ["sample_id", "z"])
    rows = faces.merge(latents, on="sample_id", validate="one_to_one")
    if len(rows) < len(faces):
        raise FacsimileError(f"{ENCODE / dataset}: {len(faces) - len(rows)} faces have no latent")
    return rows


def read_editable(dataset: str, split: str) -> pd.DataFrame:
    """Neutral faces of a split that `encode` chose: labels, ``z`` and ``x_t``."""
    columns = ["sample_id", "dataset", "subject_id", "split", *LABELS]
    faces = of_split(read_faces(INGEST / dataset, columns), split, INGEST / dataset)
    latents = read_table(ENCODE / dataset)
    return faces.merge(latents[latents["editable"]], on="sample_id", validate="one_to_one")


def read_neutral(dataset: str) -> pd.DataFrame:
    """Faces that `neutral` chose: as `read_editable`, but ``z`` is neutralized."""
    latents = read_table(NEUTRAL / "faces")
    columns = ["sample_id", "dataset", "subject_id", "split", *LABELS]
    return read_faces(INGEST / dataset, columns).merge(latents, on="sample_id")


def stack(column: pd.Series) -> np.ndarray:
    """A column of N vectors (D,) as one array (N, D) float32."""
    return np.stack(column.to_numpy()).astype(np.float32)
