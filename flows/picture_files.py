"""Prepares pictures from outside the pipeline as `ingest` prepares the annotated dataset."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from tasks.params import LANDMARK_COLUMNS, PARAMS, read_params

if TYPE_CHECKING:
    from facsimile.datasets import Preprocessing


def project_preprocessing(
    root: Path, size: int | None, landmarks: str, crop: bool | None
) -> "Preprocessing":
    """The preprocessing of the annotated dataset.

    Args:
        root: project folder.
        size: side of the faces, pixels; None for that of the project.
        landmarks: ``package.module:function`` that finds the landmarks to align faces by; if
            empty, that of the annotated dataset in params.yaml.
        crop: whether to crop pictures that are not square to their centre; None for as in the
            annotated dataset.
    """
    from facsimile.datasets import Aligner, Preprocessing

    params = read_params(root / PARAMS)
    dataset, ingest = params["datasets"].aus, params["ingest"]
    declared = ingest.align.get(dataset, "")
    landmarks = landmarks or (declared if declared != LANDMARK_COLUMNS else "")
    if crop is None:
        crop = dataset in ingest.paths and ingest.paths[dataset].crop is not None
    if landmarks:
        sys.path.insert(0, str(root.resolve()))  # where the function may be, as for `ingest`
    return Preprocessing(
        size or ingest.size, crop, aligner=Aligner(landmarks) if landmarks else None
    )
