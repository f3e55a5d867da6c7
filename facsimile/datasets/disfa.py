"""DISFA: video frames of 27 people with intensities 0–5 of twelve Action Units.

Mavadati, Mahoor, Bartlett, Trinh, Cohn: DISFA: A Spontaneous Facial Action Intensity Database, IEEE
Transactions on Affective Computing, 2013.

    ActionUnit_Labels/SN001/SN001_au1.txt            lines ``frame,intensity``, frames from 1
    Videos_LeftCamera/LeftVideoSN001_comp.avi        as published, or
    Images/SN001/<frame>.png                         extracted, cropped to the aligned face

Videos are read if there is no folder ``Images``. The first video frame has label 1; frames beyond
the labels are ignored. Published videos show the face in a wider image: crop the files, or set
``crop``. Tools that extract frames number them from 1 (ffmpeg:
``LeftVideoSN001_comp/LeftVideoSN001_comp_0001.png``) or from 0 (github.com/CVI-SZU/ME-GraphAU:
``SN001/0.png`` has the label of the first line). A folder or video may have any name that contains
its subject, and a frame any name that ends in its number. The first frame number is inferred from
each person's folder (see `numbering.first_frame`) or set by the option ``first_frame``.
"""

import re
from collections.abc import Callable, Collection, Iterator
from functools import partial
from pathlib import Path

import pandas as pd

from facsimile.datasets.adapter import Adapter, ImageSource, image_files
from facsimile.datasets.frames import Frames, labelled_frames, numbered_images
from facsimile.datasets.numbering import first_frame as find_first_frame
from facsimile.datasets.rejects import Rejects
from facsimile.datasets.terms import agreement
from facsimile.datasets.videos import VIDEO_SUFFIXES, video_frames
from facsimile.errors import FacsimileError
from facsimile.faces.aus import AUS
from facsimile.faces.schema import Violation

LABELS = "ActionUnit_Labels"
IMAGES = "Images"
VIDEOS = "Videos_LeftCamera"

_SUBJECT = re.compile(r"SN\d{3}")


def recognises(path: Path) -> bool:
    """Whether `path` is a folder with ``ActionUnit_Labels``."""
    return (path / LABELS).is_dir()


def annotate(
    path: Path, dataset: str, rejects: Rejects, first_frame: int | None = None
) -> pd.DataFrame:
    """One row per frame, with ``sample_id`` ``<dataset>/SN001/000123`` (the label's number).

    ``file`` and ``line`` refer to the label of AU01.

    Args:
        path: folder with ``ActionUnit_Labels``, and ``Images`` or ``Videos_LeftCamera``.
        dataset: prefix of the ids.
        rejects: receives subjects without labels or frames, or whose first frame number (0 or 1)
            is ambiguous; label files that are missing or empty; lines that are not
            ``frame,intensity``, out of order or outside 0–5; frames without an image or without a
            label of any AU.
        first_frame: number of the first frame, 0 or 1; used if it is ambiguous.

    Raises:
        FacsimileError: folders are missing, a subject occurs twice, or `first_frame` is given for
            videos.
    """
    labels = path / LABELS
    if not labels.is_dir():
        raise FacsimileError(f"{labels}: no such folder")
    violations: list[Violation] = []
    pictures = path / (IMAGES if (path / IMAGES).is_dir() else VIDEOS)
    sources = _by_subject(pictures)
    if pictures.name == VIDEOS and first_frame is not None:
        raise FacsimileError(
            f"{pictures}: first_frame does not apply to videos, whose frames are counted; remove it"
        )
    frames: dict[str, dict[int, Path]] = {}
    if pictures.name == IMAGES:
        frames = {name: numbered_images(folder, violations) for name, folder in sources.items()}
    renumber = partial(_renumber, dataset=dataset, given=first_frame)
    rejects.add(violations)
    labelled = {folder.name for folder in labels.iterdir() if _SUBJECT.fullmatch(folder.name)}
    rows: list[dict[str, object]] = []
    for subject in sorted(labelled | sources.keys()):
        violations = []
        source = sources.get(subject, pictures / subject)
        numbers = None if source.is_file() else frames.get(subject, {})
        for row in _read_subject(labels / subject, source, numbers, violations, renumber):
            rows.append({"sample_id": f"{dataset}/{subject}/{row['frame']:06d}", **row})
        rejects.add(violations)
    number = ["frame"] if pictures.name == VIDEOS else []
    columns = ["sample_id", "subject_id", *AUS, "image_path", *number, "file", "line"]
    return pd.DataFrame(rows, columns=columns)


def images(
    annotations: pd.DataFrame, batch_size: int
) -> Iterator[tuple[pd.DataFrame, list[ImageSource]]]:
    """Batches of annotations with their image files or video frames."""
    read = video_frames if "frame" in annotations else image_files
    return read(annotations, batch_size)


def _by_subject(pictures: Path) -> dict[str, Path]:
    """Subject → folder of frames or video file."""
    if not pictures.is_dir():
        raise FacsimileError(f"{pictures}: no such folder, and no {IMAGES} beside it")
    sources: dict[str, Path] = {}
    for entry in sorted(pictures.iterdir()):
        match = _SUBJECT.search(entry.name)
        video = entry.suffix.lower() in VIDEO_SUFFIXES
        if match and (video if pictures.name == VIDEOS else entry.is_dir()):
            subject = match.group()
            if subject in sources:
                raise FacsimileError(f"{entry}: {subject} is also in {sources[subject].name}")
            sources[subject] = entry
    return sources


def _renumber(frames: Frames, labels: Collection[int], dataset: str, given: int | None) -> Frames:
    """Renumber frames to match their labels."""
    try:
        shift = min(min(labels), 1) - find_first_frame(frames, labels, given)
    except FacsimileError as error:
        remedy = f"set first_frame: 0 or 1 under ingest.paths.{dataset}"
        raise FacsimileError(f"{error}; {remedy}") from error
    return {number + shift: image for number, image in frames.items()}


def _read_subject(
    labels: Path,
    source: Path,
    frames: Frames | None,
    violations: list[Violation],
    renumber: Callable[[Frames, Collection[int]], Frames],
) -> Iterator[dict[str, object]]:
    """Rows of the frames that have an image (or a video) and labels of all AUs."""
    subject = labels.name
    if not labels.is_dir():
        images = source if frames is None else f"{len(frames)} frames in {source}"
        reason = f"no such folder, but found {images}"
        violations.append(Violation(str(labels), None, None, None, reason))
        return
    files = {au: labels / f"{subject}_au{int(au[2:])}.txt" for au in AUS}
    for row in labelled_frames(files, source, frames, violations, renumber=renumber):
        yield {"subject_id": subject, **row}


ADAPTER = Adapter(
    recognises,
    annotate,
    images,
    reads="a folder with `ActionUnit_Labels/SN001/SN001_au1.txt` … and the published "
    "`Videos_LeftCamera/LeftVideoSN001_comp.avi` …, or cropped frames as "
    "`Images/SN001/<frame>.png` (or another image format) instead of the videos; a frame is "
    "identified by the number at the end of its name",
    labels="twelve AUs with intensity",
    terms=agreement(
        "a signed agreement with the University of Denver, for research only",
        "http://mohammadmahoor.com/disfa/",
    ),
    image_column="image",
    options=("first_frame",),
)
