"""Videos as numbered frames, each file decoded once from its beginning."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import av
import pandas as pd
from PIL import Image

from facsimile.errors import FacsimileError

VIDEO_SUFFIXES = (".avi", ".mp4")

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
    end, why = "ends", ""
    try:
        for decoded, frame in enumerate(_decode(video), start=1):
            if decoded == wanted[picked]:
                yield frame.to_image()
                picked += 1
            if picked == len(wanted):
                return
    except MemoryError:  # says nothing about the video
        raise
    except (av.FFmpegError, FacsimileError) as error:
        end, why = "is unreadable", f" ({getattr(error, 'strerror', None) or error})"
    where = f"after frame {decoded}" if decoded else "before its first frame"
    for _ in wanted[picked:]:
        yield FacsimileError(f"cannot be had: the video {end} {where}{why}")


def _decode(video: Path) -> Iterator[av.VideoFrame]:
    # What is written about a video may be in any encoding.
    with av.open(str(video), metadata_errors="ignore") as container:
        if not container.streams.video:
            raise FacsimileError("no video in it")
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
