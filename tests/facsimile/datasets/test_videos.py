"""Video frames get the labels of their frame numbers; a truncated video is reported."""

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from facsimile.datasets import recognise
from facsimile.datasets.videos import iter_frames
from facsimile.errors import FacsimileError
from facsimile.faces.tables import decode_images

from .trees import SIZE, pixels, read, shade, write_disfa, write_disfa_videos, write_video

VIDEO = Path("Videos_LeftCamera") / "LeftVideoSN002_comp.avi"


def test_videos_give_the_faces_that_frames_give(tmp_path: Path) -> None:
    root = write_disfa_videos(tmp_path / "videos", frames=20, extra=3)
    assert recognise(root) == "disfa"
    faces, rejects = read(root)
    expected, _ = read(write_disfa(tmp_path / "frames", frames=20))
    assert len(rejects) == 0
    np.testing.assert_array_equal(decode_images(faces), decode_images(expected))
    assert faces.drop(columns="image").equals(expected.drop(columns="image"))


@pytest.mark.parametrize("codec", ["mpeg4", "mjpeg", "libx264"])
def test_frames_come_in_the_order_in_which_they_are_shown(tmp_path: Path, codec: str) -> None:
    root = write_disfa_videos(tmp_path, frames=30)
    greys = [shade(8 * n + 10, 32) for n in range(30)]
    write_video(root / VIDEO, greys, codec)
    faces = read(root)[0]
    means = decode_images(faces[faces["subject_id"] == "SN002"]).mean(axis=(1, 2, 3))
    np.testing.assert_allclose(means, 8 * np.arange(30) + 10, atol=3.9)


def test_frames_without_label_are_not_kept(tmp_path: Path) -> None:
    root = write_disfa_videos(tmp_path, frames=6)
    for file in (root / "ActionUnit_Labels" / "SN002").iterdir():
        lines = file.read_text().splitlines()
        file.write_text("\n".join([lines[1], lines[4]]))
    faces = read(root)[0]
    faces = faces[faces["subject_id"] == "SN002"]
    assert faces["sample_id"].tolist() == ["mine/SN002/000002", "mine/SN002/000005"]
    np.testing.assert_array_equal(decode_images(faces), [pixels(202), pixels(205)])


def cut(codec: str, share: float) -> Callable[[Path], None]:
    """Write the video of SN002 anew and keep a share of its bytes."""

    def harm(video: Path) -> None:
        content = write_video(video, [pixels(n, 32, 32) for n in range(20)], codec).read_bytes()
        video.write_bytes(content[: int(share * len(content))])

    return harm


def write_sound(video: Path) -> None:
    with av.open(str(video), "w", format="avi") as container:
        stream = container.add_stream("pcm_s16le", rate=8000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), "s16", "mono")
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
        container.mux(stream.encode())


def write_uneven(video: Path) -> None:
    """20 frames a second, but for a gap."""
    with av.open(str(video), "w", format="mp4") as container:
        stream = container.add_stream("mpeg4", rate=20, width=32, height=32)
        stream.pix_fmt = "yuv420p"
        for n in range(20):
            frame = av.VideoFrame.from_ndarray(pixels(n, 32, 32), format="rgb24")
            frame.pts, frame.time_base = n + 2 * (n > 10), Fraction(1, 20)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


BROKEN = {
    "truncated": (cut("mpeg4", 0.6), "the video ends after frame"),
    "truncated, each frame by itself": (cut("mjpeg", 0.6), "the video ends after frame"),
    "no bytes": (
        lambda video: video.write_bytes(b""),
        "the video is unreadable before its first frame (Invalid data",
    ),
    "no video": (
        lambda video: video.write_text("a video"),
        "the video is unreadable before its first frame (Invalid data",
    ),
    "a list of other files": (
        lambda video: video.write_text("ffconcat version 1.0\nfile LeftVideoSN001_comp.avi\n"),
        "the video is unreadable before its first frame (Invalid",
    ),
    "sound alone": (
        lambda video: write_sound(video),
        "the video has no video stream",
    ),
    "uneven": (
        lambda video: write_uneven(video),
        "the video has a variable frame rate, 0.05 to 0.15 s per frame",
    ),
    "too short": (
        lambda video: write_video(video, [pixels(n) for n in range(7)]),
        "the video ends after frame 7",
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_truncated_video_is_named_with_the_first_missing_frame(tmp_path: Path, case: str) -> None:
    harm, reason = BROKEN[case]
    root = write_disfa_videos(tmp_path, frames=20)
    harm(root / VIDEO)
    faces, rejects = read(root, "skip")
    kept = int((faces["subject_id"] == "SN002").sum())
    assert len(faces) == 40 + kept and len(rejects) == 20 - kept
    rows = rejects.to_table().to_pylist()
    missing = range(kept + 1, 21)
    assert [row["line"] for row in rows] == list(missing)
    assert [row["value"] for row in rows] == [f"{root / VIDEO} frame {n}" for n in missing]
    assert all(row["reason"].startswith(f"cannot be read: {reason}") for row in rows)
    assert kept == 0 or f"after frame {kept}" in rows[0]["reason"]

    with pytest.raises(FacsimileError) as caught:
        read(root)
    message = str(caught.value)
    assert f"line {kept + 1} (mine/SN002/{kept + 1:06d}) column image" in message
    assert f"{root / VIDEO} frame {kept + 1} cannot be read: {reason}" in message


def test_labels_of_videos_count_from_1(tmp_path: Path) -> None:
    root = write_disfa_videos(tmp_path)
    for file in (root / "ActionUnit_Labels" / "SN002").iterdir():
        file.write_text("".join(f"{n},0\n" for n in range(4)))
    with pytest.raises(FacsimileError, match=r"comp\.avi: has a label 0, but frames of videos are"):
        read(root)
    with pytest.raises(FacsimileError, match="Videos_LeftCamera: first_frame does not apply"):
        read(root, options={"first_frame": 0})


def test_black_frames_are_reported(tmp_path: Path) -> None:
    root = write_disfa_videos(tmp_path)
    write_video(
        root / VIDEO, [pixels(1), np.zeros((SIZE, SIZE, 3), np.uint8), *map(pixels, (2, 3))]
    )
    faces, rejects = read(root)
    assert len(faces) == 11 and "SN002/000002" not in "".join(faces["sample_id"])
    (row,) = rejects.to_table().to_pylist()
    assert row["value"] == f"{root / VIDEO} frame 2" and row["line"] == 2


def test_no_video_of_a_person(tmp_path: Path) -> None:
    root = write_disfa_videos(tmp_path)
    (root / VIDEO).unlink()
    with pytest.raises(FacsimileError, match=r"Videos_LeftCamera/SN002: no frames of SN002"):
        read(root)


def test_no_labels_of_a_video(tmp_path: Path) -> None:
    root = write_disfa_videos(tmp_path)
    (root / "ActionUnit_Labels" / "SN002").rename(root / "ActionUnit_Labels" / "later")
    with pytest.raises(FacsimileError, match=r"SN002: no such folder, but .*SN002_comp\.avi"):
        read(root)


def test_wide_pictures_are_refused_or_cropped(tmp_path: Path) -> None:
    root = write_disfa_videos(tmp_path)
    wide = [pixels(n, SIZE, 2 * SIZE) for n in range(4)]
    write_video(root / VIDEO, wide)
    with pytest.raises(
        FacsimileError, match=r"avi frame 1 is 16 × 8, but aligned faces are square"
    ):
        read(root)
    faces = read(root, crop=True)[0]
    centre = np.stack(wide)[:, :, SIZE // 2 : SIZE // 2 + SIZE]
    np.testing.assert_array_equal(decode_images(faces[faces["subject_id"] == "SN002"]), centre)


def test_all_frames_of_a_video_are_read_up_to_the_first_that_is_broken(tmp_path: Path) -> None:
    images = [pixels(n, 32, 32) for n in range(20)]
    video = write_video(tmp_path / "v.avi", images)
    assert [number for number, _ in iter_frames(video, every=6)] == [1, 7, 13, 19]
    for (_, frame), image in zip(iter_frames(video), images, strict=True):
        np.testing.assert_array_equal(np.asarray(frame), image)
    video.write_bytes(b"a video")
    ((number, error),) = iter_frames(video)
    assert number == 1 and "is unreadable before its first frame" in str(error)


def test_frames_at_an_uneven_rate_are_read(tmp_path: Path) -> None:
    write_uneven(tmp_path / "v.mp4")
    assert len(list(iter_frames(tmp_path / "v.mp4"))) == 20
