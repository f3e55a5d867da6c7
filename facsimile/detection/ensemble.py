"""An ensemble of detectors as an AU reader.

Detectors trained on few people vary as much with the seed as with the training data. On people
unseen in training, their mean is more accurate than any single detector.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from facsimile.detection.detector import EVAL_BATCH, AUDetector
from facsimile.errors import FacsimileError
from facsimile.faces.aus import AUS
from facsimile.faces.picture_store import StoredPictures


class AUEnsemble:
    """Mean prediction of several detectors over a face and its mirror image.

    Args:
        members: trained detectors, at least one.
    """

    def __init__(self, members: Sequence[AUDetector]) -> None:
        self.members = list(members)

    def predict(self, images: np.ndarray | StoredPictures) -> np.ndarray:
        """AU intensities (N, 12) float32, unclipped, of uint8 images (N, H, W, 3)."""
        parts = [
            self._read(images[start : start + EVAL_BATCH])
            for start in range(0, len(images), EVAL_BATCH)
        ]
        return np.concatenate(parts) if parts else np.empty((0, len(AUS)), np.float32)

    def _read(self, images: np.ndarray) -> np.ndarray:
        mirrored = np.ascontiguousarray(images[:, :, ::-1])
        views = [member.predict(view) for member in self.members for view in (images, mirrored)]
        return np.mean(views, axis=0)

    @classmethod
    def load(cls, directory: str | Path, device: str = "cpu") -> "AUEnsemble":
        """Read all detectors ``seed-<n>`` of a folder.

        Raises:
            FacsimileError: the folder has none.
        """
        folders = sorted(Path(directory).glob("seed-*"))
        if not folders:
            raise FacsimileError(f"{directory}: no detectors (seed-0, …)")
        return cls([AUDetector.load(folder).to(device) for folder in folders])
