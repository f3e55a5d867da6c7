"""DISFA+: posed and spontaneous expressions of nine people of DISFA, twelve AUs with intensities.

Mavadati, Sanger, Mahoor: Extended DISFA Dataset: Investigating Posed and Spontaneous Facial
Expressions, CVPR Workshops, 2016.

    Labels/SN001/<session>/AU1.txt       two lines of header, then ``000.jpg     0`` a frame
    Images/SN001/<session>/000.jpg       cropped to the aligned face

A session is one trial of one expression. The layout is that which ``imageLoader_DISFAPlus`` of
py-feat reads (github.com/cosanlab/py-feat, feat/data.py): it skips the first two lines of a label
file and knows a frame by the name of its image.
Subjects have the names that they have in DISFA, so a person in both is one ``subject_id``.
"""

from collections.abc import Collection
from pathlib import Path

import pandas as pd

from facsimile.datasets.adapter import Adapter, image_files
from facsimile.datasets.frames import Frames, labelled_frames, numbered_images
from facsimile.datasets.numbering import refuse_shifted
from facsimile.datasets.rejects import Rejects
from facsimile.errors import FacsimileError
from facsimile.faces.aus import AUS
from facsimile.faces.schema import Violation

LABELS = "Labels"
IMAGES = "Images"
HEADER = 2


def recognises(path: Path) -> bool:
    """Whether `path` is a folder with ``Labels/SN…`` and ``Images``."""
    return (path / IMAGES).is_dir() and any((path / LABELS).glob("SN*/"))


def annotate(path: Path, dataset: str, rejects: Rejects) -> pd.DataFrame:
    """One row for each frame, with ``sample_id`` ``<dataset>/SN001/<session>/000012``.

    ``file`` and ``line`` are those of its label of AU01.

    Args:
        path: folder with ``Labels`` and ``Images``.
        dataset: begins the ids.
        rejects: receives a session without labels or frames, a label file that is not there or
            empty, a line that is no frame and intensity, out of order or outside 0–5, and a frame
            that lacks an image, or a label of any AU; a session whose frames are all one off.

    Raises:
        FacsimileError: no such folders.
    """
    for folder in (path / LABELS, path / IMAGES):
        if not folder.is_dir():
            raise FacsimileError(f"{folder}: no such folder")
    rows: list[dict[str, object]] = []
    for subject, session in sorted(_sessions(path / LABELS) | _sessions(path / IMAGES)):
        violations: list[Violation] = []
        labels, images = (path / part / subject / session for part in (LABELS, IMAGES))
        frames = numbered_images(images, violations) if images.is_dir() else {}
        files = {au: labels / f"AU{int(au[2:])}.txt" for au in AUS}
        if labels.is_dir():
            for row in labelled_frames(
                files,
                images,
                frames,
                violations,
                renumber=_as_named,
                separator=None,
                suffix=".jpg",
                header=HEADER,
            ):
                sample_id = f"{dataset}/{subject}/{session}/{row.pop('frame'):06d}"
                rows.append({"sample_id": sample_id, "subject_id": subject, **row})
        else:
            reason = f"no such folder, but {len(frames)} frames in {images}"
            violations.append(Violation(str(labels), None, None, None, reason))
        rejects.add(violations)
    columns = ["sample_id", "subject_id", *AUS, "image_path", "file", "line"]
    return pd.DataFrame(rows, columns=columns)


def _as_named(frames: Frames, labels: Collection[int]) -> Frames:
    refuse_shifted(frames, labels)
    return frames


def _sessions(folder: Path) -> set[tuple[str, str]]:
    """Names of subjects and sessions."""
    return {(session.parent.name, session.name) for session in folder.glob("SN*/*/")}


ADAPTER = Adapter(recognises, annotate, image_files, image_column="image")
