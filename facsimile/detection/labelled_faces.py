"""Labelled faces for training detectors and the oracle."""

from dataclasses import dataclass
from typing import Self

import numpy as np
import pandas as pd

from facsimile.faces.aus import AUS
from facsimile.faces.origins import REAL
from facsimile.faces.picture_store import StoredPictures


@dataclass(frozen=True)
class LabelledFaces:
    """Faces of one split.

    Attributes:
        images: uint8 (N, H, W, 3), in memory or in a file.
        aus: intensities (N, 12) in [0, 1], NaN where not annotated.
        subjects: N subject ids; None if identity is not needed.
        presence_only: (N,) bool, faces whose labels are 0 or 1 for absent or present; None if
            there are no such faces.
        generated: (N,) bool, faces that are not real; None if all are real.
    """

    images: np.ndarray | StoredPictures
    aus: np.ndarray
    subjects: np.ndarray | None = None
    presence_only: np.ndarray | None = None
    generated: np.ndarray | None = None

    @classmethod
    def from_rows(cls, rows: pd.DataFrame, images: np.ndarray | StoredPictures) -> Self:
        """Faces of a table and their images.

        Args:
            rows: the 12 AUs and optionally subject_id, au_presence_only, origin.
            images: see `images`.
        """
        return cls(
            images,
            rows[list(AUS)].to_numpy(np.float32),
            rows["subject_id"].to_numpy() if "subject_id" in rows else None,
            rows["au_presence_only"].to_numpy(bool) if "au_presence_only" in rows else None,
            (rows["origin"] != REAL).to_numpy() if "origin" in rows else None,
        )
