"""Labelled faces for training detectors and the oracle."""

from dataclasses import dataclass
from typing import Self

import numpy as np
import pandas as pd

from facsimile.faces.aus import AUS
from facsimile.faces.origins import REAL
from facsimile.faces.tables import decode_images


@dataclass(frozen=True)
class LabelledFaces:
    """Faces of one split.

    Attributes:
        images: uint8 (N, H, W, 3).
        aus: intensities (N, 12) in [0, 1], NaN where not annotated.
        subjects: N subject ids; None if identity is not needed.
        presence_only: (N,) bool, faces whose labels are 0 or 1 for absent or present; None if
            there are no such faces.
        generated: (N,) bool, faces that are not real; None if all are real.
    """

    images: np.ndarray
    aus: np.ndarray
    subjects: np.ndarray | None = None
    presence_only: np.ndarray | None = None
    generated: np.ndarray | None = None

    @classmethod
    def from_rows(cls, rows: pd.DataFrame, source: str = "faces") -> Self:
        """Decode rows of a face table.

        Args:
            rows: sample_id, image, the 12 AUs and optionally subject_id, au_presence_only, origin.
            source: name of the table in error messages.
        """
        return cls(
            decode_images(rows, source),
            rows[list(AUS)].to_numpy(np.float32),
            rows["subject_id"].to_numpy() if "subject_id" in rows else None,
            rows["au_presence_only"].to_numpy(bool) if "au_presence_only" in rows else None,
            (rows["origin"] != REAL).to_numpy() if "origin" in rows else None,
        )
