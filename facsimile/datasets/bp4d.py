"""BP4D-Spontaneous: 41 people in eight tasks, AUs coded as present or absent, some with intensity.

Zhang, Yin, Cohn, Canavan, Reale, Horowitz, Liu, Girard: BP4D-Spontaneous: a high-resolution
spontaneous 3D dynamic facial expression database, Image and Vision Computing, 2014.

    AUCoding/AU_OCC/F001_T1.csv           header ``0,1,2,…``: frame, AU 1, AU 2, …; a line a frame,
                                          0 absent, 1 present, 9 unknown
    AUCoding/AU_INT/AU06/F001_T1_AU06.csv where there is one: ``frame,intensity``, no header,
                                          intensities 0–5, 9 unknown
    F001/T1/0001.jpg                      cropped to the aligned face

The folders of people may lie in one of any name, such as ``BP4D-training``. The layout is that
which public loaders read: github.com/CVI-SZU/ME-GraphAU takes labels from ``AU_OCC``, and
github.com/machanic/AU_R-CNN intensities from a folder for each AU. Both know a frame by the number
that names its image. Only a stretch of each sequence is coded; its other frames are not read.

People are named F or M for female and male, which is annotated as ``male``.
"""

import math
import re
import warnings
from collections.abc import Collection, Iterator
from pathlib import Path

import pandas as pd

from facsimile.datasets.adapter import Adapter, image_files
from facsimile.datasets.frames import (
    FACS_LEVELS,
    Label,
    numbered_images,
    other_suffixes,
    read_labels,
)
from facsimile.datasets.numbering import refuse_shifted
from facsimile.datasets.rejects import Rejects
from facsimile.errors import FacsimileError
from facsimile.faces.aus import AUS
from facsimile.faces.schema import Violation

OCCURRENCE = Path("AUCoding") / "AU_OCC"
INTENSITY = Path("AUCoding") / "AU_INT"
PRESENCE = {"0": 0.0, "1": 1.0, "9": math.nan}
LEVELS = {**FACS_LEVELS, "9": math.nan}

_SEQUENCE = re.compile(r"([FM]\d{3})_(T\d+)")


def recognises(path: Path) -> bool:
    """Whether `path` is a folder with ``AUCoding/AU_OCC``."""
    return (path / OCCURRENCE).is_dir()


def annotate(path: Path, dataset: str, rejects: Rejects) -> pd.DataFrame:
    """One row for each coded frame, with ``sample_id`` ``<dataset>/F001/T1/000001``.

    AUs are 0 or 1, or intensities in [0, 1] where ``AU_INT`` has them; null where unknown or not
    coded. ``au_presence_only`` is true: what has no intensities is 0 or 1. ``file`` and ``line``
    are those in ``AU_OCC``. Frames without codes are not read, with a warning.

    Args:
        path: folder with ``AUCoding/AU_OCC``.
        dataset: begins the ids.
        rejects: receives a sequence without codes or frames, a file that is not there, empty or
            without columns of AUs, a line with too many or too few values, out of order or with any
            other than 0, 1 and 9 (0–5 and 9 for intensities), and a coded frame without image or
            intensity; a sequence whose frames are all one off.

    Raises:
        FacsimileError: no such folder, or two of the same sequence.
    """
    if not (path / OCCURRENCE).is_dir():
        raise FacsimileError(f"{path / OCCURRENCE}: no such folder")
    folders = _sequences(path)
    coded = {file.stem for file in (path / OCCURRENCE).glob("*.csv")}
    rows: list[dict[str, object]] = []
    uncoded = 0
    for sequence in sorted(coded | folders.keys()):
        violations: list[Violation] = []
        file = path / OCCURRENCE / f"{sequence}.csv"
        match = _SEQUENCE.fullmatch(sequence)
        if not match:
            violations.append(Violation(str(file), None, None, None, "not called as F001_T1.csv"))
        else:
            subject, task = match.groups()
            folder = folders.get(sequence, path / subject / task)
            frames = numbered_images(folder, violations) if folder.is_dir() else {}
            codes = _read_occurrence(file, len(frames), violations)
            if codes and not frames:
                reason = f"no frames of {sequence}"
                if folder.is_dir():
                    reason += other_suffixes(folder.iterdir())
                violations.append(Violation(str(folder), None, None, None, reason))
            elif codes and not _are_shifted(frames, codes, folder, violations):
                uncoded += len(frames.keys() - codes.keys())
                tracks = _read_intensities(path, sequence, f"{len(frames)} frames", violations)
                for row in _join(file, codes, tracks, folder, frames, violations):
                    sample_id = f"{dataset}/{subject}/{task}/{row.pop('frame'):06d}"
                    male = float(subject.startswith("M"))
                    rows.append(
                        {"sample_id": sample_id, "subject_id": subject, "male": male, **row}
                    )
        rejects.add(violations)
    if uncoded:
        warnings.warn(f"{path}: {uncoded:,} frames without AU codes are not read", stacklevel=2)
    columns = ["sample_id", "subject_id", "male", *AUS, "image_path", "file", "line"]
    return pd.DataFrame(rows, columns=columns).assign(au_presence_only=True)


def _sequences(path: Path) -> dict[str, Path]:
    """``F001_T1`` → folder of frames."""
    folders: dict[str, Path] = {}
    people = "[FM][0-9][0-9][0-9]"
    for folder in sorted([*path.glob(f"{people}/T*/"), *path.glob(f"*/{people}/T*/")]):
        sequence = f"{folder.parent.name}_{folder.name}"
        if sequence in folders:
            raise FacsimileError(f"{folder}: {sequence} is in {folders[sequence]}, too")
        folders[sequence] = folder
    return folders


def _are_shifted(
    frames: Collection[int], codes: Collection[int], folder: Path, violations: list[Violation]
) -> bool:
    try:
        refuse_shifted(frames, codes)
    except FacsimileError as error:
        violations.append(Violation(str(folder), None, None, None, str(error)))
        return True
    return False


def _read_occurrence(
    file: Path, frames: int, violations: list[Violation]
) -> dict[int, tuple[int, dict[str, float] | None]]:
    """Frame → line, and codes of the AUs there are, None if rejected; nothing if unreadable."""
    text = file.read_text("utf-8-sig", "replace") if file.is_file() else ""
    header, *lines = [content.split(",") for content in text.splitlines()] or [[]]
    header = [name.strip() for name in header]
    columns = {au: header.index(str(int(au[2:]))) for au in AUS if str(int(au[2:])) in header[1:]}
    if not columns:
        state = "empty label file" if file.is_file() else "no such label file"
        reason = "has no column of an Action Unit" if header else f"{state}, for {frames} frames"
        violations.append(Violation(str(file), None, None, None, reason))
        return {}
    codes: dict[int, tuple[int, dict[str, float] | None]] = {}
    last = -1
    for line, values in enumerate(lines, start=2):
        values = [value.strip() for value in values]
        if not any(values):
            continue
        number = values[0]
        found: list[tuple[str | None, str | None, str]] = []
        if not number.isdecimal():
            found.append(("frame", number or None, "is not a frame number"))
        elif int(number) <= last:
            found.append(("frame", number, f"out of order, after {last}"))
        elif len(values) != len(header):
            found.append((None, None, f"has {len(values)} values, the header {len(header)}"))
        else:
            found += [
                (au, values[column] or None, f"not one of {', '.join(PRESENCE)}")
                for au, column in columns.items()
                if values[column] not in PRESENCE
            ]
        violations += [Violation(str(file), line, *fault) for fault in found]
        if number.isdecimal():
            last = max(last, int(number))
            aus = {au: PRESENCE[values[column]] for au, column in columns.items() if not found}
            codes[int(number)] = (line, aus or None)
    if not codes:
        reason = f"has no coded frame, for {frames} frames"
        violations.append(Violation(str(file), None, None, None, reason))
    return codes


def _read_intensities(
    path: Path, sequence: str, images: str, violations: list[Violation]
) -> dict[Path, tuple[str, dict[int, Label]]]:
    """Label file → AU and labels, of those that have a folder in ``AU_INT``."""
    folders = {au: path / INTENSITY / au for au in AUS if (path / INTENSITY / au).is_dir()}
    files = {au: folder / f"{sequence}_{au}.csv" for au, folder in folders.items()}
    return {file: (au, read_labels(file, LEVELS, images, violations)) for au, file in files.items()}


def _join(
    file: Path,
    codes: dict[int, tuple[int, dict[str, float] | None]],
    tracks: dict[Path, tuple[str, dict[int, Label]]],
    folder: Path,
    frames: dict[int, Path],
    violations: list[Violation],
) -> Iterator[dict[str, object]]:
    """Rows of the coded frames that have an image and all intensities."""
    for frame, (line, aus) in codes.items():
        if aus is None:
            continue
        sound = frame in frames
        if not sound:
            reason = f"has no image in {folder}"
            violations.append(Violation(str(file), line, "frame", str(frame), reason))
        for track, (au, labels) in tracks.items():
            label = labels.get(frame)
            if labels and label is None:
                reason = f"has no line, but one in {file.name}"
                violations.append(Violation(str(track), None, "frame", str(frame), reason))
            sound = sound and label is not None and label.intensity is not None
            aus[au] = label.intensity if label else None
        if sound:
            image = str(frames[frame].absolute())
            yield {"frame": frame, **aus, "image_path": image, "file": str(file), "line": line}


ADAPTER = Adapter(recognises, annotate, image_files, image_column="image")
