"""Several detectors as one reader of AUs.

Detectors of few people differ by their seeds as much as by what they learn from; their mean reads
AUs of people whom none has seen better than each of them.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from facsimile.detection.detector import AUDetector
from facsimile.errors import FacsimileError


class AUEnsemble:
    """The mean of detectors, each of the face and of its mirror image.

    Args:
        members: trained detectors, at least one.
    """

    def __init__(self, members: Sequence[AUDetector]) -> None:
        self.members = list(members)

    def aus(self, images: np.ndarray) -> np.ndarray:
        """AU intensities (N, 12) float32, unclipped, of uint8 images (N, H, W, 3)."""
        mirrored = np.ascontiguousarray(images[:, :, ::-1])
        views = [member.predict(view) for member in self.members for view in (images, mirrored)]
        return np.mean(views, axis=0)

    @classmethod
    def load(cls, directory: str | Path, device: str = "cpu") -> "AUEnsemble":
        """Read the detectors of all seeds, ``seed-<n>``, in a folder.

        Raises:
            FacsimileError: there are none.
        """
        folders = sorted(Path(directory).glob("seed-*"))
        if not folders:
            raise FacsimileError(f"{directory}: no detectors (seed-0, …)")
        return cls([AUDetector.load(folder).to(device) for folder in folders])
