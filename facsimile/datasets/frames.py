"""What datasets of videos share: numbered frames, and label files of one line a frame."""

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from facsimile.datasets.numbering import shared_numbers
from facsimile.errors import FacsimileError
from facsimile.faces.schema import Violation

FACS_LEVELS = {"0": 0.0, "1": 0.2, "2": 0.4, "3": 0.6, "4": 0.8, "5": 1.0}
"""Neutral and the FACS letters A–E, as fractions of E."""

IMAGE_SUFFIXES = (".bmp", ".jpg", ".jpeg", ".png", ".tif", ".tiff", ".webp")
"""In lower case; what `open_image` opens."""

_NUMBER = re.compile(r"(\d+)$")


Frames = Mapping[int, Path]
"""Number → image."""


class Label(NamedTuple):
    """Intensity in [0, 1] and where it stands; None if it was rejected."""

    line: int
    intensity: float | None


def numbered_images(folder: Path, violations: list[Violation]) -> dict[int, Path]:
    """Number that ends the name of each image in a folder → image.

    Args:
        folder: of one video.
        violations: receives images without a number, or with that of another.
    """
    frames: dict[int, Path] = {}
    for image in sorted(filter(is_image, folder.iterdir())):
        match = _NUMBER.search(image.stem)
        if not match:
            violations.append(Violation(str(image), None, None, None, "has no frame number"))
        elif (number := int(match.group())) in frames:
            reason = f"shows frame {number}, as {frames[number].name} does"
            violations.append(Violation(str(image), None, None, None, reason))
        else:
            frames[number] = image
    return frames


def is_image(path: Path) -> bool:
    """Whether a file is an image by its name; hidden ones are leftovers of file systems."""
    return path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".")


def other_suffixes(paths: Iterable[Path]) -> str:
    """Of files none of which is an image, as the end of a sentence that says so."""
    found = sorted({path.suffix or path.name for path in paths if path.is_file()})
    if not found:
        return ""
    more = ", …" if len(found) > 5 else ""
    return f", only {', '.join(found[:5])}{more}, and {', '.join(IMAGE_SUFFIXES)} are read"


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
    """Frame → label of one AU; nothing if there is no such file.

    Args:
        file: a line a frame: its number, `separator`, intensity.
        levels: intensities as they are written → in [0, 1].
        images: what is to be labelled, for the error.
        violations: receives a file that is not there or empty, and lines that are no label, out of
            order or not one of `levels`.
        separator: None for blanks.
        suffix: follows the number.
        header: lines that may precede the first label.
    """
    labels: dict[int, Label] = {}
    last = -1
    # What is not UTF-8 is no number either, and is told as such.
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
        violations: receives all that hinders a frame.
        renumber: frames, numbers of labels → frames by the number of their label; FacsimileError
            why it is not known, as the end of a sentence that begins with their folder.
        layout: of the label files, see `read_labels`.

    Yields:
        ``frame``, its number; AUs in [0, 1]; ``image_path``, of the image or the video; ``file``
        and ``line`` of its label of the first AU.
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
            here = tracks[au].get(frame)
            line, reason = (
                (here.line, f"has no line in {files[first].name}")
                if here
                else (None, f"has no line, but one in {files[first].name}")
            )
            violations.append(Violation(str(files[au]), line, "frame", str(frame), reason))
    for frame in sorted((frames or {}).keys() - set().union(*tracks.values())):
        reason = f"shows frame {frame}, which has no label"
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
