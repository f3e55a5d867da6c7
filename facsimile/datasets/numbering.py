"""Which label a numbered frame has: tools that extract frames number them from 0 or from 1.

A frame one number off gets the label of its neighbour, and nothing looks wrong. What a folder does
not show is therefore not guessed.
"""

from collections import Counter
from collections.abc import Collection, Iterable

from facsimile.errors import FacsimileError

SURPLUS = 0.01
"""Frames after the last label that are still no hint at another numbering, as a share of labels."""


def shared_numbers(tracks: Iterable[Collection[int]]) -> set[int]:
    """Numbers of frames in most of some label files: one file may be damaged."""
    tracks = list(tracks)
    counts = Counter(number for track in tracks for number in track)
    return {number for number, count in counts.items() if 2 * count > len(tracks)}


def first_frame(frames: Collection[int], labels: Collection[int], given: int | None = None) -> int:
    """Number of the first frame of a video of which these frames are left, 0 or 1.

    It is 0 if there is a frame 0, and 1 if the last frame has the number that the last label has.

    Args:
        frames: their numbers, at least one.
        labels: numbers of its labels, at least one; counted from 0 if there is a label 0, else
            from 1.
        given: answer where frames and labels do not show it.

    Raises:
        FacsimileError: they do not, as the end of a sentence that begins with their folder.
    """
    start = min(min(labels), 1)
    end = max(labels) + 1 - start  # of the frames, where they are numbered from 1
    surplus = max(1, int(SURPLUS * len(labels)))
    from_0 = 0 in frames
    from_1 = end in frames and max(frames) <= end + surplus
    few = _is_sampled(frames, labels)
    if from_0 != from_1 and not few:
        return int(from_1)
    if given is not None:
        return given
    why = "whether the first one of the video has number 0 or 1 does not show"
    if few:
        why = "it may be a sample of the video that was numbered anew"
    raise FacsimileError(f"has {span(frames, 'frame')} for {span(labels, 'label')}: {why}")


def refuse_shifted(frames: Collection[int], labels: Collection[int]) -> None:
    """Refuse frames that should have the numbers of their labels, and are all one off.

    Raises:
        FacsimileError: they are, as the end of a sentence that begins with their folder.
    """
    if any({number + step for number in frames} == set(labels) for step in (-1, 1)):
        raise FacsimileError(
            f"has {span(frames, 'frame')} for {span(labels, 'label')}: they are numbered from "
            "another first frame; name them as their labels do"
        )


def span(numbers: Collection[int], what: str) -> str:
    """How many there are, from where to where."""
    plural = "" if len(numbers) == 1 else "s"
    return f"{len(numbers):,} {what}{plural} ({min(numbers)} to {max(numbers)})"


def _is_sampled(frames: Collection[int], labels: Collection[int]) -> bool:
    """Whether frames without a gap from the first on reach half-way at most."""
    reach = max(frames) - min(frames) + 1
    whole = max(labels) - min(labels) + 1
    return min(frames) in (0, 1) and reach == len(frames) < whole and 2 * reach <= whole + 1
