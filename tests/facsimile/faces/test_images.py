"""Only images of a known kind and size are opened; anything else gives a one-line error."""

import io
import os
import struct
import threading
import warnings
import zlib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from facsimile.errors import FacsimileError
from facsimile.faces.images import open_image
from facsimile.faces.tables import decode_images

WRITERS = {
    "PNG": {},
    "JPEG": {},
    "BMP": {},
    "WEBP": {"lossless": True},
    "TIFF": {},
    "TIFF, LZW": {"compression": "tiff_lzw"},
}


def picture(seed: int = 0) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (12, 12, 3), np.uint8))


def encode(image: Image.Image, name: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, name.split(",")[0], **WRITERS.get(name, {}), **options)
    return buffer.getvalue()


def decode(source: bytes | Path) -> np.ndarray:
    with open_image(source) as image:
        return np.asarray(image.convert("RGB"))


def refused(source: bytes | Path) -> str:
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        with pytest.raises(FacsimileError) as caught:
            decode(source)
    assert not [warning for warning in warned if "bomb" in str(warning.message)]
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize("name", WRITERS)
def test_five_formats_from_file_and_bytes(tmp_path: Path, name: str) -> None:
    content = encode(picture(), name)
    (tmp_path / "any.name").write_bytes(content)
    expected = np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))
    np.testing.assert_array_equal(decode(content), expected)
    np.testing.assert_array_equal(decode(tmp_path / "any.name"), expected)


@pytest.mark.parametrize("name", ["EPS", "PDF", "GIF", "ICO", "PPM", "TGA", "JPEG2000"])
def test_other_formats_are_refused_whatever_their_name(tmp_path: Path, name: str) -> None:
    (tmp_path / "face.png").write_bytes(encode(picture(), name))
    assert "not an image in PNG, JPEG, BMP, WebP or TIFF" in refused(tmp_path / "face.png")


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def huge_png(width: int, height: int) -> bytes:
    """A 16-bit RGBA file whose header gives only the size."""
    header = struct.pack(">IIBBBBB", width, height, 16, 6, 0, 0, 0)
    content = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(1000)))
    return b"\x89PNG\r\n\x1a\n" + content + chunk(b"IEND", b"")


def huge_tiff(side: int, tile: int) -> bytes:
    """TIFF in one tile, which may be larger than its picture."""
    data = zlib.compress(bytes(100))
    tags = [(256, side), (257, side), (258, 8), (259, 8), (262, 1), (277, 1)]
    tags += [(322, tile), (323, tile), (324, 8), (325, len(data))]
    directory = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
    head = b"II*\0" + struct.pack("<I", 8 + len(data)) + data
    return head + struct.pack("<H", len(tags)) + directory + struct.pack("<I", 0)


@pytest.mark.parametrize(
    ("content", "size"),
    [
        (huge_png(13_300, 13_300), "13300 × 13300"),  # PIL takes it, with 3.5 GB
        (huge_png(10_000, 10_000), "10000 × 10000"),  # PIL warns
        (huge_png(60_000, 60_000), "60000 × 60000"),
        (huge_tiff(7_000, 7_000), "7000 × 7000"),
        (huge_tiff(64, 30_000), "30000 × 30000"),
        (
            b"BM" + struct.pack("<IIIIiiHHIIiiII", 54, 0, 54, 40, 9000, 9000, 1, 24, *[0] * 6),
            "9000",
        ),
    ],
    ids=["PNG", "PNG of a warning", "PNG of an error", "TIFF", "TIFF in a tile", "BMP"],
)
def test_size_is_checked_before_anything_is_decoded(content: bytes, size: str) -> None:
    message = refused(content)
    assert message.startswith(f"is {size}") and "more than 40 million pixels" in message


def test_files_with_several_pictures_are_refused() -> None:
    others = [picture(1), picture(2)]
    for name, what in (
        ("PNG", "animation frames"),
        ("WEBP", "animation frames"),
        ("TIFF", "pages"),
    ):
        several = encode(picture(), name, save_all=True, append_images=others)
        assert refused(several).startswith(f"has 3 {what}")


def test_a_preview_in_a_jpeg_makes_no_animation() -> None:
    with_preview = encode(picture(), "MPO", save_all=True, append_images=[picture(1)])
    np.testing.assert_array_equal(decode(with_preview), decode(encode(picture(), "JPEG")))


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data", "ignore:Truncated File Read")
@pytest.mark.parametrize("name", WRITERS)
def test_truncated_pictures_are_refused_or_complete(name: str) -> None:
    content = encode(picture(), name)
    whole = decode(content)
    for end in range(1, len(content), 7):
        try:
            found = decode(content[:end])
        except FacsimileError:
            continue
        # Only what follows the pixels is missing.
        np.testing.assert_array_equal(found, whole)
    assert "is unreadable (" in refused(content[: len(content) // 2])


@pytest.mark.parametrize("name", WRITERS)
def test_bytes_after_a_picture_change_nothing(name: str) -> None:
    content = encode(picture(), name)
    np.testing.assert_array_equal(decode(content + b"a video, or garbage"), decode(content))


def test_no_bytes(tmp_path: Path) -> None:
    (tmp_path / "empty.png").touch()
    assert refused(b"") == refused(tmp_path / "empty.png") == "is empty"


def test_not_a_file(tmp_path: Path) -> None:
    (tmp_path / "loop.png").symlink_to(tmp_path / "loop.png")
    assert refused(tmp_path) == "is not a file"
    assert refused(tmp_path / "loop.png").startswith("is unreadable (")
    assert refused(tmp_path / "nowhere.png").startswith("is unreadable (")


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    found: list[str] = []
    reader = threading.Thread(
        target=lambda: found.append(refused(tmp_path / "pipe.png")), daemon=True
    )
    reader.start()
    reader.join(30)
    assert found == ["is not a file"]


def test_images_of_a_face_table_are_opened_the_same_way() -> None:
    def faces(content: bytes) -> pd.DataFrame:
        return pd.DataFrame({"sample_id": ["a/1"], "image": [{"bytes": content, "path": None}]})

    for content, reason in (
        (encode(picture(), "EPS"), "is unreadable (not an image"),
        (huge_png(13_300, 13_300), "is 13300 × 13300, more than 40 million pixels"),
        (b"", "is empty"),
    ):
        with pytest.raises(FacsimileError) as caught:
            decode_images(faces(content), "f")
        assert str(caught.value).startswith(f"f: a/1: image {reason}")
