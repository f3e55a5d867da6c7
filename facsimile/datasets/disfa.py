"""DISFA: frames of 27 people, each with the intensities 0–5 of twelve Action Units.

Mavadati, Mahoor, Bartlett, Trinh, Cohn: DISFA: A Spontaneous Facial Action Intensity Database, IEEE
Transactions on Affective Computing, 2013.

    ActionUnit_Labels/SN001/SN001_au1.txt    a line a frame: ``frame,intensity``, frames from 1
    Images/SN001/<frame>.jpg or .png         extracted, cropped to the aligned face

The labels are laid out as they are published. Frames are not: the database holds videos
(``Videos_LeftCamera/LeftVideoSN001_comp.avi``), which are not read here. Tools that extract frames
number them from 1 (ffmpeg: ``LeftVideoSN001_comp/LeftVideoSN001_comp_0001.png``) or from 0
(github.com/CVI-SZU/ME-GraphAU: ``SN001/0.png`` has the label of the first line). So a folder may
have any name that contains its subject, and a frame any name that ends in its number; where there
is a frame 0, frame n shows label n + 1.
"""

import re
from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from facsimile.aus import AUS
from facsimile.datasets.adapter import Adapter, image_files
from facsimile.datasets.frames import labelled_frames, numbered_images
from facsimile.datasets.rejects import Rejects
from facsimile.errors import FacsimileError
from facsimile.schema import Violation

LABELS = "ActionUnit_Labels"
IMAGES = "Images"

_SUBJECT = re.compile(r"SN\d{3}")


def recognises(path: Path) -> bool:
    """Whether `path` is a folder with ``ActionUnit_Labels``."""
    return (path / LABELS).is_dir()


def annotate(path: Path, dataset: str, rejects: Rejects) -> pd.DataFrame:
    """One row for each frame, with ``sample_id`` ``<dataset>/SN001/000123`` (its label's number).

    ``file`` and ``line`` are those of its label of AU01.

    Args:
        path: folder with ``ActionUnit_Labels`` and ``Images``.
        dataset: begins the ids.
        rejects: receives a subject without labels or frames, a label file that is not there or
            empty, a line that is no ``frame,intensity``, out of order or outside 0–5, and a frame
            that lacks an image, or a label of any AU.

    Raises:
        FacsimileError: no such folders, or two of the same subject.
    """
    labels = path / LABELS
    if not labels.is_dir():
        raise FacsimileError(f"{labels}: no such folder")
    violations: list[Violation] = []
    folders = _image_folders(path / IMAGES)
    frames = {subject: numbered_images(folder, violations) for subject, folder in folders.items()}
    if any(0 in numbers for numbers in frames.values()):
        frames = {
            subject: {number + 1: image for number, image in numbers.items()}
            for subject, numbers in frames.items()
        }
    rejects.add(violations)
    labelled = {folder.name for folder in labels.iterdir() if _SUBJECT.fullmatch(folder.name)}
    rows: list[dict[str, object]] = []
    for subject in sorted(labelled | folders.keys()):
        violations = []
        folder = folders.get(subject, path / IMAGES / subject)
        for row in _read_subject(labels / subject, folder, frames.get(subject, {}), violations):
            rows.append({"sample_id": f"{dataset}/{subject}/{row.pop('frame'):06d}", **row})
        rejects.add(violations)
    columns = ["sample_id", "subject_id", *AUS, "image_path", "file", "line"]
    return pd.DataFrame(rows, columns=columns)


def _image_folders(images: Path) -> dict[str, Path]:
    """Subject → folder of frames."""
    if not images.is_dir():
        raise FacsimileError(
            f"{images}: no such folder; frames are to be extracted from the videos"
        )
    folders: dict[str, Path] = {}
    for folder in sorted(entry for entry in images.iterdir() if entry.is_dir()):
        if match := _SUBJECT.search(folder.name):
            subject = match.group()
            if subject in folders:
                raise FacsimileError(f"{folder}: {subject} is in {folders[subject].name}, too")
            folders[subject] = folder
    return folders


def _read_subject(
    labels: Path, folder: Path, frames: dict[int, Path], violations: list[Violation]
) -> Iterator[dict[str, object]]:
    """Rows of the frames that have an image and a label of every AU."""
    subject = labels.name
    if not labels.is_dir():
        reason = f"no such folder, but {len(frames)} frames in {folder}"
        violations.append(Violation(str(labels), None, None, None, reason))
        return
    files = {au: labels / f"{subject}_au{int(au[2:])}.txt" for au in AUS}
    for row in labelled_frames(files, folder, frames, violations):
        yield {"subject_id": subject, **row}


ADAPTER = Adapter(recognises, annotate, image_files, image_column="image")
