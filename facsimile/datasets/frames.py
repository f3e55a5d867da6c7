"""Shared by video datasets: numbered frames and label files with one line per frame."""

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from facsimile.datasets.numbering import shared_numbers
from facsimile.errors import FacsimileError
from facsimile.faces.schema import Violation

FACS_LEVELS = {"0": 0.0, "1": 0.2, "2": 0.4, "3": 0.6, "4": 0.8, "5": 1.0}
"""Neutral and FACS levels A–E, as fractions of E."""

IMAGE_SUFFIXES = (".bmp", ".jpg", ".jpeg", ".png", ".tif", ".tiff", ".webp")
"""Suffixes of files that `open_image` reads, in lower case."""

_NUMBER = re.compile(r"(\d+)$")


Frames = Mapping[int, Path]
"""Number → image."""


class Label(NamedTuple):
    """Intensity in [0, 1] (None if rejected) and its line in the label file."""

    line: int
    intensity: float | None


def numbered_images(folder: Path, violations: list[Violation]) -> dict[int, Path]:
    """Images of a folder by the number at the end of their names.

    Args:
        folder: frames of one video.
        violations: receives images without a number or with a duplicate number.
    """
    frames: dict[int, Path] = {}
    for image in sorted(filter(is_image, folder.iterdir())):
        match = _NUMBER.search(image.stem)
        if not match:
            violations.append(Violation(str(image), None, None, None, "has no frame number"))
        elif (number := int(match.group())) in frames:
            reason = f"has the same frame number {number} as {frames[number].name}"
            violations.append(Violation(str(image), None, None, None, reason))
        else:
            frames[number] = image
    return frames


def is_image(path: Path) -> bool:
    """Whether a file name is that of an image; hidden files are ignored."""
    return path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".")


def other_suffixes(paths: Iterable[Path]) -> str:
    """Completes a message about missing images with the suffixes that were found instead."""
    found = sorted({path.suffix or path.name for path in paths if path.is_file()})
    if not found:
        return ""
    more = ", …" if len(found) > 5 else ""
    return f", only {', '.join(found[:5])}{more}; supported: {', '.join(IMAGE_SUFFIXES)}"


def read_labels(
    file: Path,
    levels: Mapping[str, float],
    images: str,
    violations: list[Violation],
    *,
    separator: str | None = ",",
    suffix: str = "",
    header: int = 0,
) -> dict[int, Label]:
    """Labels of one AU by frame number; empty if the file is missing.

    Args:
        file: one line per frame: number, `separator`, intensity.
        levels: intensity as written → intensity in [0, 1].
        images: description of the images to label, for error messages.
        violations: receives a file that is missing or empty, and lines that are not a label, out of
            order or not one of `levels`.
        separator: None for whitespace.
        suffix: text after the frame number.
        header: maximum number of lines before the first label.
    """
    labels: dict[int, Label] = {}
    last = -1
    # Invalid UTF-8 is replaced, and then reported as an invalid number.
    text = file.read_text("utf-8-sig", "replace") if file.is_file() else ""
    for line, content in enumerate(text.splitlines(), start=1):
        if not content.strip():
            continue
        name, intensity = ([part.strip() for part in content.split(separator, 1)] + [""])[:2]
        number = name.removesuffix(suffix)
        if not number.isdecimal() or not name.endswith(suffix):
            if line > header or labels:
                reason = "is not a frame number"
                violations.append(Violation(str(file), line, "frame", name, reason))
            continue
        frame = int(number)
        if frame <= last:
            reason = f"out of order, after {last}"
            violations.append(Violation(str(file), line, "frame", name, reason))
            labels[frame] = Label(line, None)
        elif intensity not in levels:
            reason = f"not one of {', '.join(levels)}"
            violations.append(Violation(str(file), line, "intensity", intensity or None, reason))
            labels[frame] = Label(line, None)
        else:
            labels[frame] = Label(line, levels[intensity])
        last = max(last, frame)
    if not labels:
        state = "empty label file" if file.is_file() else "no such label file"
        violations.append(Violation(str(file), None, None, None, f"{state}, for {images}"))
    return labels


def labelled_frames(
    files: Mapping[str, Path],
    source: Path,
    frames: Frames | None,
    violations: list[Violation],
    *,
    renumber: Callable[[Frames, Collection[int]], Frames],
    **layout: str | int | None,
) -> Iterator[dict[str, object]]:
    """Frames of one video that have an image and an intensity 0–5 of every AU.

    Args:
        files: AU → label file.
        source: folder of the images, or the video.
        frames: number → image; None for a video, whose frames are counted when it is decoded.
        violations: receives the reason for each unusable frame.
        renumber: (frames, label numbers) → frames by label number; raises FacsimileError if the
            numbering is ambiguous, with a message that completes a sentence about their folder.
        layout: format of the label files, see `read_labels`.

    Yields:
        ``frame``, its number; AUs in [0, 1]; ``image_path`` of the image or video; ``file`` and
        ``line`` of the label of the first AU.
    """
    images = source.name if frames is None else f"{len(frames)} frames"
    tracks = {
        au: read_labels(file, FACS_LEVELS, images, violations, **layout)
        for au, file in files.items()
    }
    if frames == {}:
        reason = f"no frames of {next(iter(files.values())).parent.name}"
        if source.is_dir():
            reason += other_suffixes(source.iterdir())
        violations.append(Violation(str(source), None, None, None, reason))
    if frames == {} or not all(tracks.values()):
        return
    numbers = shared_numbers(tracks.values())
    try:
        if frames is None and 0 in numbers:
            raise FacsimileError("has a label 0, but frames of videos are counted from 1")
        if frames and numbers:
            frames = renumber(frames, numbers)
    except FacsimileError as error:
        violations.append(Violation(str(source), None, None, None, str(error)))
        return

    first, *others = files
    for au in others:
        for frame in sorted(tracks[au].keys() ^ tracks[first].keys()):
            label = tracks[au].get(frame)
            line, reason = (
                (label.line, f"has no line in {files[first].name}")
                if label
                else (None, f"has no line, unlike {files[first].name}")
            )
            violations.append(Violation(str(files[au]), line, "frame", str(frame), reason))
    for frame in sorted((frames or {}).keys() - set().union(*tracks.values())):
        reason = f"has no label for frame {frame}"
        violations.append(Violation(str(frames[frame]), None, None, None, reason))
    for frame, label in tracks[first].items():
        intensities = {au: tracks[au][frame].intensity for au in files if frame in tracks[au]}
        if frames is not None and frame not in frames:
            reason = f"has no image in {source}"
            violations.append(Violation(str(files[first]), label.line, "frame", str(frame), reason))
        elif len(intensities) == len(files) and None not in intensities.values():
            yield {
                "frame": frame,
                **intensities,
                "image_path": str((frames[frame] if frames else source).absolute()),
                "file": str(files[first]),
                "line": label.line,
            }
