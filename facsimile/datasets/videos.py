"""Read numbered frames, or all frames, of videos; each file is decoded once, from its beginning."""

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
"""Container formats that are opened, by FFmpeg name, regardless of the suffix; mov includes MP4."""

HELD = 16
"""Maximum frames held in memory; each has the full size of the video, some MB."""


def video_frames(
    annotations: pd.DataFrame, batch_size: int
) -> Iterator[tuple[pd.DataFrame, list[Image.Image | FacsimileError]]]:
    """Batches of annotations with their video frames.

    An unreadable frame is replaced by an error whose message completes a sentence that begins with
    the name of the frame. All frames after the first undecodable one count as unreadable, because
    their numbers could be wrong, and they would get labels of other frames.

    Args:
        annotations: ``image_path``, a video, and ``frame``, counted from 1 and ascending per video.
        batch_size: maximum frames per batch, also limited by ``HELD``.
    """
    limit = min(batch_size, HELD)
    for video, rows in annotations.groupby("image_path", sort=False):
        frames: list[Image.Image | FacsimileError] = []
        start = 0
        for frame in _select_frames(Path(video), rows["frame"].tolist()):
            frames.append(frame)
            # Errors take no memory, so they do not limit a batch.
            if len(frames) >= limit and not isinstance(frame, FacsimileError):
                yield rows.iloc[start : start + len(frames)], frames
                start += len(frames)
                frames = []
        if frames:
            yield rows.iloc[start:], frames


def iter_frames(video: Path, every: int = 1) -> Iterator[tuple[int, Image.Image | FacsimileError]]:
    """Every n-th frame of a video with its number, counted from 1.

    Ends with an error, in place of a frame, at the first that is unreadable; its message completes
    a sentence that begins with the name of the video.
    """
    number = 0
    try:
        for number, frame in enumerate(_decode(video), start=1):
            if (number - 1) % every == 0:
                yield number, frame.to_image()
    except FacsimileError as error:
        yield number + 1, error
    except av.FFmpegError as error:
        reason = f"is unreadable {_after(number)} ({error.strerror or error})"
        yield number + 1, FacsimileError(reason)
    else:
        if not number:
            yield 1, FacsimileError("has no frame")


def _select_frames(video: Path, numbers: Sequence[int]) -> Iterator[Image.Image | FacsimileError]:
    """The frame of each number, or an error that says why it is unreadable."""
    picked = decoded = 0
    why = ""
    try:
        _check_frame_rate(video)
        for decoded, frame in enumerate(_decode(video), start=1):
            if decoded == numbers[picked]:
                yield frame.to_image()
                picked += 1
            if picked == len(numbers):
                return
    except MemoryError:  # not a fault of the video
        raise
    except FacsimileError as error:
        why = str(error)
    except av.FFmpegError as error:
        why = f"is unreadable {_after(decoded)} ({error.strerror or error})"
    for _ in numbers[picked:]:
        yield FacsimileError(f"cannot be read: the video {why or f'ends {_after(decoded)}'}")


def _after(decoded: int) -> str:
    return f"after frame {decoded}" if decoded else "before its first frame"


def _decode(video: Path) -> Iterator[av.VideoFrame]:
    with _open(video) as container:
        for packet in container.demux(container.streams.video[0]):
            # A truncated packet would be filled in from earlier frames.
            if packet.is_corrupt:
                packet = None  # end of the stream; flushes the frames still in the decoder
            for frame in container.streams.video[0].codec_context.decode(packet):
                if frame.is_corrupt:
                    return
                yield frame
            if packet is None:
                return


@contextmanager
def _open(video: Path) -> Iterator[av.container.InputContainer]:
    """Open a file that has a video stream of acceptable size."""
    # Metadata may be in any encoding. The whitelist excludes formats that refer to other files.
    with av.open(
        str(video), metadata_errors="ignore", options={"format_whitelist": FORMATS}
    ) as container:
        if not container.streams.video:
            raise FacsimileError("has no video stream")
        size = container.streams.video[0]
        if size.width * size.height > MAX_PIXELS:
            limit = f"more than {MAX_PIXELS:,} pixels"
            raise FacsimileError(f"is {size.width} × {size.height}, {limit}")
        yield container


def _check_frame_rate(video: Path) -> None:
    """Reject a variable frame rate, because then a frame number does not determine a time."""
    with _open(video) as container:
        stream = container.streams.video[0]
        # Decoding times, because AVI has no presentation times.
        times = [packet.dts for packet in container.demux(stream) if packet.dts is not None]
        unit = float(stream.time_base or 0)
    steps = np.diff(times)
    usual = np.median(steps) if len(steps) else 0
    if len(steps) and not 0.5 * usual < steps.min() <= steps.max() < 1.5 * usual:
        least, most = steps.min() * unit, steps.max() * unit
        raise FacsimileError(
            f"has a variable frame rate, {least:.3g} to {most:.3g} s per frame, so labels cannot "
            "be matched to frames: convert it to a constant rate"
        )
