"""Match frame numbers to label numbers: tools that extract frames number them from 0 or from 1.

With numbers off by one, each frame would silently get the label of its neighbour. Ambiguous
numbering is therefore an error.
"""

from collections import Counter
from collections.abc import Collection, Iterable

from facsimile.errors import FacsimileError

SURPLUS = 0.01
"""Surplus frames after the last label that are tolerated, as a share of the labels."""


def shared_numbers(tracks: Iterable[Collection[int]]) -> set[int]:
    """Frame numbers that occur in most label files, since a single file may be damaged."""
    tracks = list(tracks)
    counts = Counter(number for track in tracks for number in track)
    return {number for number, count in counts.items() if 2 * count > len(tracks)}


def first_frame(frames: Collection[int], labels: Collection[int], given: int | None = None) -> int:
    """Number of the first frame of a video, 0 or 1, inferred from the frames that exist.

    It is 0 if there is a frame 0, and 1 if the last frame has the number of the last label.

    Args:
        frames: frame numbers, at least one.
        labels: label numbers, at least one; they count from 0 if there is a label 0, else from 1.
        given: result to use if frames and labels are ambiguous.

    Raises:
        FacsimileError: the numbering is ambiguous and `given` is None; the message completes a
            sentence that begins with the folder of the frames.
    """
    start = min(min(labels), 1)
    end = max(labels) + 1 - start  # number of the last frame, if numbered from 1
    surplus = max(1, int(SURPLUS * len(labels)))
    from_0 = 0 in frames
    from_1 = end in frames and max(frames) <= end + surplus
    few = _is_sampled(frames, labels)
    if from_0 != from_1 and not few:
        return int(from_1)
    if given is not None:
        return given
    why = "it is not clear whether the first frame of the video has number 0 or 1"
    if few:
        why = "they may be a renumbered sample of the video"
    raise FacsimileError(f"has {span(frames, 'frame')} for {span(labels, 'label')}: {why}")


def refuse_shifted(frames: Collection[int], labels: Collection[int]) -> None:
    """Reject frames that are named by label number, if all numbers are off by one.

    Raises:
        FacsimileError: they are; the message completes a sentence that begins with their folder.
    """
    if any({number + step for number in frames} == set(labels) for step in (-1, 1)):
        raise FacsimileError(
            f"has {span(frames, 'frame')} for {span(labels, 'label')}: the numbers are off by one; "
            "rename the images to match their labels"
        )


def span(numbers: Collection[int], what: str) -> str:
    """Count and range, as in ``5 frames (0 to 4)``."""
    plural = "" if len(numbers) == 1 else "s"
    return f"{len(numbers):,} {what}{plural} ({min(numbers)} to {max(numbers)})"


def _is_sampled(frames: Collection[int], labels: Collection[int]) -> bool:
    """Whether the frames have no gaps, but cover at most half of the labels."""
    covered = max(frames) - min(frames) + 1
    total = max(labels) - min(labels) + 1
    return min(frames) in (0, 1) and covered == len(frames) < total and 2 * covered <= total + 1
