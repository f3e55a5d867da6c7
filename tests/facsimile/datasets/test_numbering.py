"""From where frames are numbered is read from a person's folder, or refused; never guessed."""

from collections.abc import Collection

import pytest

from facsimile.datasets.numbering import first_frame, refuse_shifted, shared_numbers
from facsimile.errors import FacsimileError

LABELS = range(1, 101)


@pytest.mark.parametrize(
    ("frames", "labels", "first"),
    [
        (range(100), LABELS, 0),
        (range(1, 101), LABELS, 1),
        (range(98), LABELS, 0),
        (range(3, 101), LABELS, 1),
        (range(0, 100, 10), LABELS, 0),
        (range(10, 101, 10), LABELS, 1),
        ([0, 7, 8, 90], LABELS, 0),
        ([2, 7, 8, 100], LABELS, 1),
        (range(1, 102), LABELS, 1),
        (range(150), LABELS, 0),
        (range(100), range(100), 0),
        (range(1, 101), range(100), 1),
        ([1], [1], 1),
        ([0], [1], 0),
    ],
    ids=[
        "from 0",
        "from 1",
        "from 0, last ones missing",
        "from 1, first ones missing",
        "every tenth from 0",
        "every tenth to the last",
        "gaps from 0",
        "gaps to the last",
        "from 1, one beyond the labels",
        "from 0, some beyond the labels",
        "labels from 0",
        "labels from 0, frames from 1",
        "one frame",
        "one frame from 0",
    ],
)
def test_numbering_is_inferred_from_frames(
    frames: Collection[int], labels: Collection[int], first: int
) -> None:
    assert first_frame(frames, labels) == first
    assert first_frame(frames, labels, 1 - first) == first, "what shows needs no answer"


@pytest.mark.parametrize(
    "frames",
    [
        range(1, 100),
        range(2, 100),
        range(101),
        range(10, 100, 10),
        range(1, 100, 10),
        [50],
        range(1, 150),
        range(50),
        range(1, 11),
    ],
    ids=[
        "first of 0 or last of 1 missing",
        "both ends missing",
        "one too many",
        "every tenth without ends",
        "every tenth from the first",
        "one in the middle",
        "many beyond the labels",
        "every second, numbered anew from 0",
        "every tenth, numbered anew from 1",
    ],
)
def test_ambiguous_numbering_is_refused_or_reported(frames: Collection[int]) -> None:
    with pytest.raises(FacsimileError) as caught:
        first_frame(frames, LABELS)
    count = "1 frame" if len(frames) == 1 else f"{len(frames)} frames"
    expected = f"has {count} ({min(frames)} to {max(frames)}) for 100 labels (1 to 100): "
    assert str(caught.value).startswith(expected)
    assert [first_frame(frames, LABELS, given) for given in (0, 1)] == [0, 1]


def test_a_damaged_label_file_does_not_move_the_end() -> None:
    assert shared_numbers([range(1, 5), range(1, 5), [1, 2, 9999]]) == {1, 2, 3, 4}


def test_frames_with_the_numbers_of_their_labels() -> None:
    refuse_shifted(range(6), range(6))
    refuse_shifted(range(1, 6), range(6))
    refuse_shifted((), range(6))
    for frames in (range(1, 7), range(-1, 5)):
        with pytest.raises(FacsimileError, match=r"6 labels \(0 to 5\): the numbers are off"):
            refuse_shifted(frames, range(6))
