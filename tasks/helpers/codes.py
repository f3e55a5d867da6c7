"""Read faces with their latent codes."""

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
    select_split,
)

if TYPE_CHECKING:
    from facsimile.generator import Generator


def read_encoded(dataset: str, generator: "Generator", split: str | None = None) -> pd.DataFrame:
    """Labels of encoded faces and their codes ``z`` (D,).

    Raises:
        FacsimileError: the split has no faces, a face has no code, or the codes come from another
            generator.
    """
    rows = read_codes(dataset, ["sample_id", "subject_id", "split", *LABELS])
    if split:
        rows = select_split(rows, split, INGEST / dataset)
    if (dimensions := len(rows["z"].iloc[0])) != generator.z_dim:
        raise FacsimileError(
            f"{ENCODE / dataset}: codes have {dimensions} dimensions, "
            f"those of {GENERATOR} {generator.z_dim}; encode again"
        )
    return rows


def read_codes(dataset: str, columns: Sequence[str]) -> pd.DataFrame:
    """Columns of encoded faces, which must include sample_id, and their codes ``z`` (D,).

    Raises:
        FacsimileError: a face has no code.
    """
    faces = read_faces(INGEST / dataset, columns)
    latents = read_table(ENCODE / dataset, ["sample_id", "z"])
    rows = faces.merge(latents, on="sample_id", validate="one_to_one")
    if len(rows) < len(faces):
        raise FacsimileError(f"{ENCODE / dataset}: {len(faces) - len(rows)} faces have no latent")
    return rows


def read_editable(dataset: str, split: str) -> pd.DataFrame:
    """Neutral faces of a split that `encode` selected: labels, ``z`` and ``x_t``."""
    columns = ["sample_id", "dataset", "subject_id", "split", *LABELS]
    faces = select_split(read_faces(INGEST / dataset, columns), split, INGEST / dataset)
    latents = read_table(ENCODE / dataset)
    return faces.merge(latents[latents["editable"]], on="sample_id", validate="one_to_one")


def read_neutral(dataset: str) -> pd.DataFrame:
    """Faces that `neutral` selected: like `read_editable`, but with neutralized ``z``."""
    latents = read_table(NEUTRAL / "faces")
    columns = ["sample_id", "dataset", "subject_id", "split", *LABELS]
    return read_faces(INGEST / dataset, columns).merge(latents, on="sample_id")


def stack_codes(column: pd.Series) -> np.ndarray:
    """Stack a column of N codes (D,) into a float32 array (N, D)."""
    return np.stack(column.to_numpy()).astype(np.float32)
