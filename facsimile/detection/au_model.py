"""The model in the model registry: an ensemble of detectors that reads the AUs of face images.

It is stored with a copy of the code that it needs (`write_code`), so that it can be loaded without
this project, and keeps working when this code changes. MLflow calls `_load_pyfunc`.
"""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from facsimile.detection.ensemble import AUEnsemble
from facsimile.errors import FacsimileError
from facsimile.faces.annotation import presence
from facsimile.faces.aus import AUS
from facsimile.faces.decoding import decode_square

IMAGE = "image"
ERROR = "error"

PACKAGES = (
    "mlflow",
    "numpy",
    "pandas",
    "pandera",
    "pillow",
    "pyarrow",
    "safetensors",
    "scikit-learn",
    "scipy",
    "torch",
    "torchvision",
)
"""Packages that the stored code imports."""

_CODE = (
    "__init__.py",
    "detection/__init__.py",
    "detection/au_model.py",
    "detection/augmentation.py",
    "detection/detector.py",
    "detection/ensemble.py",
    "detection/labelled_faces.py",
    "detection/oracle.py",
    "digests.py",
    "errors.py",
    "faces",
    "files.py",
    "measurement",
    "seeding.py",
)
_OPTIONS = "model.json"
_DETECTORS = "detectors"
_BATCH = 64  # bounds the memory of decoded images


class AUModel:
    """Reads AU intensities and presence of aligned faces.

    Args:
        ensemble: the detectors.
        thresholds: intensity from which an AU counts as present, (12,); NaN for AUs that the
            detectors have not learnt.
        size: side to which images are resized, pixels.
    """

    def __init__(self, ensemble: AUEnsemble, thresholds: np.ndarray, size: int) -> None:
        self.ensemble = ensemble
        self.thresholds = np.asarray(thresholds, np.float64)
        self.size = size

    @property
    def aus(self) -> tuple[str, ...]:
        """AUs that the detectors have learnt."""
        return tuple(AUS[k] for k in np.flatnonzero(~np.isnan(self.thresholds)))

    def predict(self, faces: pd.DataFrame, params: dict[str, Any] | None = None) -> pd.DataFrame:
        """Read the AUs of each face.

        Args:
            faces: column ``image``: contents of PNG, JPEG, BMP, WebP or TIFF files, each an aligned
                square face.
            params: unused; part of MLflow's interface.

        Returns:
            One row per face: ``AU01`` …, intensity in [0, 1]; ``AU01_present`` …; and ``error``,
            which says why an image could not be read, and is None otherwise. All other values are
            None if there is an error.
        """
        parts = [
            self._read(faces[IMAGE].iloc[start : start + _BATCH].tolist())
            for start in range(0, len(faces), _BATCH)
        ]
        return pd.concat(parts, ignore_index=True) if parts else self._table([], self._no_faces())

    def _read(self, images: Sequence[bytes]) -> pd.DataFrame:
        pixels, errors = [], []
        for image in images:
            try:
                pixels.append(decode_square(image, self.size))
                errors.append(None)
            except FacsimileError as error:
                errors.append(str(error))
        intensities = self.ensemble.predict(np.stack(pixels)) if pixels else self._no_faces()
        return self._table(errors, intensities)

    def _table(self, errors: Sequence[str | None], intensities: np.ndarray) -> pd.DataFrame:
        """Predictions of the images without an error, as rows of all images."""
        learnt = [AUS.index(au) for au in self.aus]
        readable = [number for number, error in enumerate(errors) if error is None]
        values = pd.DataFrame(intensities[:, learnt].clip(0, 1), columns=list(self.aus))
        present = presence(intensities, self.thresholds)[:, learnt] == 1
        values = values.astype(np.float64).join(
            pd.DataFrame(present, columns=[f"{au}_present" for au in self.aus])
        )
        values.index = pd.Index(readable, dtype=int)
        if len(readable) < len(errors):
            # JSON has null for None, but nothing for NaN.
            values = values.astype(object).reindex(range(len(errors)))
            values = values.where(values.notna(), None)
        return values.assign(**{ERROR: pd.Series(list(errors), dtype=object)})

    def _no_faces(self) -> np.ndarray:
        return np.empty((0, len(AUS)), np.float32)

    def save(self, directory: Path, detectors: Path) -> None:
        """Write the model into a new folder.

        Args:
            directory: folder to create.
            detectors: folder with the ``seed-<n>`` of the ensemble, copied as they are.
        """
        for seed in sorted(detectors.glob("seed-*")):
            copy = directory / _DETECTORS / seed.name
            copy.mkdir(parents=True)
            for name in ("config.json", "model.safetensors"):
                shutil.copyfile(seed / name, copy / name)
        thresholds = dict(zip(AUS, self.thresholds.tolist(), strict=True))
        known = {au: value for au, value in thresholds.items() if value == value}
        options = {"image_size": self.size, "thresholds": known}
        (directory / _OPTIONS).write_text(json.dumps(options, indent=2) + "\n")

    @classmethod
    def load(cls, directory: Path) -> "AUModel":
        """Read what `save` wrote."""
        options = json.loads((directory / _OPTIONS).read_text())
        thresholds = [options["thresholds"].get(au, np.nan) for au in AUS]
        ensemble = AUEnsemble.load(directory / _DETECTORS)
        return cls(ensemble, np.array(thresholds), options["image_size"])


def _load_pyfunc(path: str) -> AUModel:
    """Called by ``mlflow.pyfunc.load_model``."""
    return AUModel.load(Path(path))


def write_code(folder: Path) -> Path:
    """Copy the code that `AUModel` needs.

    Args:
        folder: an existing folder.

    Returns:
        The package in it.
    """
    package = Path(__file__).parents[1]
    copy = folder / package.name
    for source in (package / name for name in _CODE):
        for file in [source] if source.is_file() else source.rglob("*.py"):
            target = copy / file.relative_to(package)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, target)
    return copy
