"""DISFA+: posed and spontaneous expressions of nine DISFA subjects; intensities of twelve AUs.

Mavadati, Sanger, Mahoor: Extended DISFA Dataset: Investigating Posed and Spontaneous Facial
Expressions, CVPR Workshops, 2016.

    Labels/SN001/<session>/AU1.txt       two header lines, then lines ``000.jpg     0``
    Images/SN001/<session>/000.jpg       cropped to the aligned face

A session is one trial of one expression. ``imageLoader_DISFAPlus`` of py-feat reads the same layout
(github.com/cosanlab/py-feat, feat/data.py): it skips the first two lines of a label file and
identifies a frame by the name of its image. Subjects have the same names as in DISFA, so a person
in both datasets has one ``subject_id``.
"""

from collections.abc import Collection
from pathlib import Path

import pandas as pd

from facsimile.datasets.adapter import Adapter, image_files
from facsimile.datasets.frames import Frames, labelled_frames, numbered_images
from facsimile.datasets.numbering import refuse_shifted
from facsimile.datasets.rejects import Rejects
from facsimile.datasets.terms import agreement
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
    """One row per frame, with ``sample_id`` ``<dataset>/SN001/<session>/000012``.

    ``file`` and ``line`` refer to the label of AU01.

    Args:
        path: folder with ``Labels`` and ``Images``.
        dataset: prefix of the ids.
        rejects: receives sessions without labels or frames, or whose frame numbers are all off by
            one; label files that are missing or empty; lines that are not a frame and an
            intensity, out of order or outside 0–5; frames without an image or without a label of
            any AU.

    Raises:
        FacsimileError: a folder is missing.
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
            reason = f"no such folder, but found {len(frames)} frames in {images}"
            violations.append(Violation(str(labels), None, None, None, reason))
        rejects.add(violations)
    columns = ["sample_id", "subject_id", *AUS, "image_path", "file", "line"]
    return pd.DataFrame(rows, columns=columns)


def _as_named(frames: Frames, labels: Collection[int]) -> Frames:
    refuse_shifted(frames, labels)
    return frames


def _sessions(folder: Path) -> set[tuple[str, str]]:
    """Names of all subjects and sessions."""
    return {(session.parent.name, session.name) for session in folder.glob("SN*/*/")}


ADAPTER = Adapter(
    recognises,
    annotate,
    image_files,
    reads="a folder with the published `Labels/SN001/<session>/AU1.txt` … and cropped frames as "
    "`Images/SN001/<session>/000.jpg`",
    labels="twelve AUs with intensity",
    terms=agreement(
        "a signed agreement with the University of Denver, for research only",
        "http://mohammadmahoor.com/disfa-2/",
    ),
    image_column="image",
)
