"""BP4D-Spontaneous: 41 people, eight tasks; AUs coded for presence, some also for intensity.

Zhang, Yin, Cohn, Canavan, Reale, Horowitz, Liu, Girard: BP4D-Spontaneous: a high-resolution
spontaneous 3D dynamic facial expression database, Image and Vision Computing, 2014.

    AUCoding/AU_OCC/F001_T1.csv           header ``0,1,2,…``: frame, AU 1, AU 2, …; one line per
                                          frame: 0 absent, 1 present, 9 unknown
    AUCoding/AU_INT/AU06/F001_T1_AU06.csv optional: ``frame,intensity``, no header; intensities
                                          0–5, 9 unknown
    F001/T1/0001.jpg                      cropped to the aligned face

The folders of people may be inside another folder, such as ``BP4D-training``. Public loaders read
this layout: github.com/CVI-SZU/ME-GraphAU reads labels from ``AU_OCC``, and
github.com/machanic/AU_R-CNN reads intensities from one folder per AU. Both identify a frame by the
number in its image name. Only a segment of each sequence is coded; other frames are not read.

The first letter of a subject's name, F or M, is annotated as ``male``.
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
from facsimile.datasets.terms import agreement
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
    """One row per coded frame, with ``sample_id`` ``<dataset>/F001/T1/000001``.

    AUs are 0 or 1, or intensities in [0, 1] if ``AU_INT`` has them; null if unknown or not coded.
    ``au_presence_only`` is true, because AUs without intensities are 0 or 1. ``file`` and ``line``
    refer to ``AU_OCC``. Frames without codes are skipped with a warning.

    Args:
        path: folder with ``AUCoding/AU_OCC``.
        dataset: prefix of the ids.
        rejects: receives sequences without codes or frames, or whose frame numbers are all off by
            one; files that are missing, empty or without AU columns; lines with a wrong number of
            values, out of order, or with values other than 0, 1 and 9 (intensities: 0–5 and 9);
            coded frames without an image or intensity.

    Raises:
        FacsimileError: the folder is missing, or a sequence occurs twice.
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
            violations.append(Violation(str(file), None, None, None, "not named like F001_T1.csv"))
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
        warnings.warn(f"{path}: {uncoded:,} frames without AU codes are skipped", stacklevel=2)
    columns = ["sample_id", "subject_id", "male", *AUS, "image_path", "file", "line"]
    return pd.DataFrame(rows, columns=columns).assign(au_presence_only=True)


def _sequences(path: Path) -> dict[str, Path]:
    """``F001_T1`` → folder of frames."""
    folders: dict[str, Path] = {}
    people = "[FM][0-9][0-9][0-9]"
    for folder in sorted([*path.glob(f"{people}/T*/"), *path.glob(f"*/{people}/T*/")]):
        sequence = f"{folder.parent.name}_{folder.name}"
        if sequence in folders:
            raise FacsimileError(f"{folder}: {sequence} is also in {folders[sequence]}")
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
    """Frame → line and codes by AU (None if rejected); empty if the file is unreadable."""
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
    """Label file → AU and labels, for AUs with a folder in ``AU_INT``."""
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
    """Rows of coded frames that have an image and all intensities."""
    for frame, (line, aus) in codes.items():
        if aus is None:
            continue
        complete = frame in frames
        if not complete:
            reason = f"has no image in {folder}"
            violations.append(Violation(str(file), line, "frame", str(frame), reason))
        for track, (au, labels) in tracks.items():
            label = labels.get(frame)
            if labels and label is None:
                reason = f"has no line, unlike {file.name}"
                violations.append(Violation(str(track), None, "frame", str(frame), reason))
            complete = complete and label is not None and label.intensity is not None
            aus[au] = label.intensity if label else None
        if complete:
            image = str(frames[frame].absolute())
            yield {"frame": frame, **aus, "image_path": image, "file": str(file), "line": line}


ADAPTER = Adapter(
    recognises,
    annotate,
    image_files,
    reads="a folder with `AUCoding/AU_OCC/F001_T1.csv` …, intensities from `AUCoding/AU_INT` if "
    "present, and cropped frames as `F001/T1/0001.jpg`",
    labels="AUs as present or absent, some with intensity; gender",
    terms=agreement(
        "a signed agreement with Binghamton University, for research only",
        "https://www.cs.binghamton.edu/~lijun/Research/3DFE/3DFE_Analysis.html",
    ),
    image_column="image",
)
