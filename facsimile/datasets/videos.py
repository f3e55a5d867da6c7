"""Videos as numbered frames, each file decoded once from its beginning."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import av
import numpy as np
import pandas as pd
from PIL import Image

from facsimile.errors import FacsimileError
from facsimile.faces.images import MAX_PIXELS

VIDEO_SUFFIXES = (".avi", ".mp4")

FORMATS = "avi,mov"
"""What is opened, whatever the name says, as FFmpeg calls it; mov is MP4, too."""

HELD = 16
"""Frames held at once: they are as large as the video, some MB each."""


def video_frames(
    annotations: pd.DataFrame, batch_size: int
) -> Iterator[tuple[pd.DataFrame, list[Image.Image | FacsimileError]]]:
    """Batches of annotations with the frames that they name; other frames are not kept.

    A frame that cannot be had is why, as the end of a sentence that begins with its name. After the
    first that does not decode none is taken: what follows could not be counted, and would get the
    labels of others.

    Args:
        annotations: ``image_path``, a video, and ``frame``, counted from 1 and ascending in each.
        batch_size: most frames of a batch; there are never more than ``HELD``.
    """
    most = min(batch_size, HELD)
    for video, rows in annotations.groupby("image_path", sort=False):
        frames: list[Image.Image | FacsimileError] = []
        start = 0
        for frame in _pick(Path(video), rows["frame"].tolist()):
            frames.append(frame)
            # What is missing takes no memory, and is told at once.
            if len(frames) >= most and not isinstance(frame, FacsimileError):
                yield rows.iloc[start : start + len(frames)], frames
                start += len(frames)
                frames = []
        if frames:
            yield rows.iloc[start:], frames


def _pick(video: Path, wanted: Sequence[int]) -> Iterator[Image.Image | FacsimileError]:
    """The frame of each number, or why it cannot be had."""
    picked = decoded = 0
    why = ""
    try:
        for decoded, frame in enumerate(_decode(video), start=1):
            if decoded == wanted[picked]:
                yield frame.to_image()
                picked += 1
            if picked == len(wanted):
                return
    except MemoryError:  # says nothing about the video
        raise
    except FacsimileError as error:
        why = str(error)
    except av.FFmpegError as error:
        why = f"is unreadable {_after(decoded)} ({error.strerror or error})"
    for _ in wanted[picked:]:
        yield FacsimileError(f"cannot be had: the video {why or f'ends {_after(decoded)}'}")


def _after(decoded: int) -> str:
    return f"after frame {decoded}" if decoded else "before its first frame"


def _decode(video: Path) -> Iterator[av.VideoFrame]:
    _check_pace(video)
    with _open(video) as container:
        for packet in container.demux(container.streams.video[0]):
            # The packet at which a file breaks off would be patched up with what was before it.
            if packet.is_corrupt:
                packet = None  # no more; frames that wait to be shown still come
            for frame in container.streams.video[0].codec_context.decode(packet):
                if frame.is_corrupt:
                    return
                yield frame
            if packet is None:
                return


@contextmanager
def _open(video: Path) -> Iterator[av.container.InputContainer]:
    """A file with a video in it, of a size that can be decoded."""
    # What is written about a video may be in any encoding. Other formats can name further files.
    with av.open(
        str(video), metadata_errors="ignore", options={"format_whitelist": FORMATS}
    ) as container:
        if not container.streams.video:
            raise FacsimileError("holds no pictures")
        size = container.streams.video[0]
        if size.width * size.height > MAX_PIXELS:
            raise FacsimileError(f"is {size.width} × {size.height}, more than can be decoded")
        yield container


def _check_pace(video: Path) -> None:
    """Refuse frames that do not follow each other evenly: their numbers would not be times."""
    with _open(video) as container:
        stream = container.streams.video[0]
        # Not of presentation: AVI does not have it.
        times = [packet.dts for packet in container.demux(stream) if packet.dts is not None]
        unit = float(stream.time_base or 0)
    steps = np.diff(times)
    usual = np.median(steps) if len(steps) else 0
    if len(steps) and not 0.5 * usual < steps.min() <= steps.max() < 1.5 * usual:
        least, most = steps.min() * unit, steps.max() * unit
        raise FacsimileError(
            f"has a frame rate that varies, {least:.3g} to {most:.3g} s a frame, so that a number "
            "does not tell which frame a label means: give it a constant one"
        )
