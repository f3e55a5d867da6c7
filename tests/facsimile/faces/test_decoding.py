"""Pixels of every mode are decoded correctly or refused; blank pictures are reported."""

import io
import struct
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from facsimile.errors import FacsimileError
from facsimile.faces.decoding import BlankImageError, decode_rgb, decode_square
from tests.facsimile.datasets.trees import LINES, pixels, png, read, shade, write_csv

COLOURS = pixels(3, 16, 16)
GREY = COLOURS[..., 0]
FINE = np.random.default_rng(0).integers(0, 2**16, (16, 16, 3)).astype(np.uint16)
FINE_GREY = FINE[..., 0]


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def raw_png(values: np.ndarray, colour_type: int, extra: bytes = b"") -> bytes:
    """PNG of 16 bits; `extra` is the key colour."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    height, width = values.shape[:2]
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 16, colour_type, 0, 0, 0))
    key = chunk(b"tRNS", extra) if extra else b""
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    end = chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + header + key + end


def raw_tiff(
    values: np.ndarray | bytes,
    kind: str,
    bits: int,
    photometric: int = 1,
    sample_format: int = 1,
    extra: int | None = None,
) -> bytes:
    """Uncompressed TIFF of 16 × 16 pixels; `kind` as of NumPy, with the order of bytes."""
    end = kind[0] if kind[0] in "<>" else "<"
    samples = 1
    if isinstance(values, np.ndarray):
        samples = 1 if values.ndim == 2 else values.shape[2]
        values = values.astype(kind).tobytes()
    tags: list[tuple[int, str, Sequence[int]]] = [
        (256, "I", [16]),
        (257, "I", [16]),
        (258, "H", [bits] * samples),
        (259, "H", [1]),
        (262, "H", [photometric]),
        (273, "I", [8]),
        (277, "H", [samples]),
        (278, "I", [16]),
        (279, "I", [len(values)]),
        *([(338, "H", [extra])] if extra is not None else []),
        (339, "H", [sample_format] * samples),
    ]
    at = 8 + len(values)
    beyond = at + 2 + 12 * len(tags) + 4
    directory, rest = struct.pack(f"{end}H", len(tags)), b""
    for tag, letter, numbers in tags:
        data = struct.pack(f"{end}{len(numbers)}{letter}", *numbers)
        if len(data) > 4:
            data, rest = struct.pack(f"{end}I", beyond + len(rest)), rest + data
        code = 4 if letter == "I" else 3
        directory += struct.pack(f"{end}HHI", tag, code, len(numbers)) + data.ljust(4, b"\0")
    head = (b"II*\0" if end == "<" else b"MM\0*") + struct.pack(f"{end}I", at)
    return head + values + directory + struct.pack(f"{end}I", 0) + rest


def in_8_bits(values: np.ndarray, top: int = 65_535) -> np.ndarray:
    return np.round(values / top * 255).astype(np.uint8)


def packed_12_bits(values: np.ndarray) -> bytes:
    bits = "".join(f"{value:012b}" for value in values.ravel())
    return int(bits, 2).to_bytes(len(bits) // 8, "big")


RGB = Image.fromarray(COLOURS)
CLEAR = np.dstack([FINE, np.full((16, 16), 65_535, np.uint16)])
KEY = int(FINE_GREY[0, 0])

KINDS = {  # content → what it shows
    "1": (saved(RGB.convert("1"), "PNG"), np.asarray(RGB.convert("1").convert("L"))),
    "L, BMP": (saved(Image.fromarray(GREY), "BMP"), GREY),
    "LA, TIFF": (saved(Image.fromarray(GREY).convert("LA"), "TIFF"), GREY),
    "P, BMP": (saved(RGB.quantize(8), "BMP"), np.asarray(RGB.quantize(8).convert("RGB"))),
    "PA, TIFF": (
        saved(RGB.convert("P").convert("PA"), "TIFF"),
        np.asarray(RGB.convert("P").convert("RGB")),
    ),
    "RGBA, WebP": (saved(RGB.convert("RGBA"), "WEBP", lossless=True), COLOURS),
    "RGBX, TIFF": (saved(RGB.convert("RGBX"), "TIFF"), COLOURS),
    "CMYK, TIFF": (saved(RGB.convert("CMYK"), "TIFF"), COLOURS),
    "YCbCr, TIFF": (saved(RGB.convert("YCbCr"), "TIFF"), COLOURS),
    "16-bit grey PNG": (raw_png(FINE_GREY, 0), in_8_bits(FINE_GREY)),
    "16-bit grey PNG with a key": (
        raw_png(FINE_GREY, 0, struct.pack(">H", KEY)),
        np.where(FINE_GREY == KEY, 255, in_8_bits(FINE_GREY)),
    ),
    "16-bit RGB PNG": (raw_png(FINE, 2), in_8_bits(FINE)),
    "16-bit RGBA PNG": (raw_png(CLEAR, 6), in_8_bits(FINE)),
    "16-bit LA PNG": (raw_png(CLEAR[..., [0, 3]], 4), in_8_bits(FINE_GREY)),
    "16-bit grey TIFF, little end": (raw_tiff(FINE_GREY, "<u2", 16), in_8_bits(FINE_GREY)),
    "16-bit grey TIFF, big end": (raw_tiff(FINE_GREY, ">u2", 16), in_8_bits(FINE_GREY)),
    "16-bit grey TIFF, 0 is white": (
        raw_tiff(FINE_GREY, "<u2", 16, 0),
        in_8_bits(65_535 - FINE_GREY),
    ),
    "8-bit grey TIFF, 0 is white": (raw_tiff(GREY, "u1", 8, 0), 255 - GREY),
    "12-bit grey TIFF": (
        raw_tiff(packed_12_bits(FINE_GREY >> 4), "u2", 12),
        in_8_bits(FINE_GREY >> 4, 4095),
    ),
    "16-bit RGB TIFF, little end": (raw_tiff(FINE, "<u2", 16, 2), in_8_bits(FINE)),
    "16-bit RGB TIFF, big end": (raw_tiff(FINE, ">u2", 16, 2), in_8_bits(FINE)),
    "16-bit RGBa TIFF": (raw_tiff(CLEAR, "<u2", 16, 2, extra=1), in_8_bits(FINE)),
}


@pytest.mark.parametrize("kind", KINDS)
def test_pixels_come_out_as_they_are_meant(kind: str) -> None:
    content, expected = KINDS[kind]
    found = np.asarray(decode_rgb(content)).astype(int)
    expected = expected if expected.ndim == 3 else np.dstack([expected] * 3)
    assert np.abs(found - expected).max() <= (3 if "YCbCr" in kind else 1)


REFUSED = {
    "float in [0, 1]": saved(Image.fromarray(GREY.astype(np.float32) / 255), "TIFF"),
    "float in [0, 255]": saved(Image.fromarray(GREY.astype(np.float32)), "TIFF"),
    "float, big end": raw_tiff(GREY / 255, ">f4", 32, 1, 3),
    "double": raw_tiff(GREY / 255, "<f8", 64, 1, 3),
    "float RGB": raw_tiff(COLOURS / 255, "<f4", 32, 2, 3),
    "32-bit integer": saved(Image.fromarray(GREY.astype(np.int32)), "TIFF"),
    "32-bit unsigned": raw_tiff(GREY, "<u4", 32),
    "signed 16-bit": raw_tiff(FINE_GREY, "<u2", 16, 1, 2),
    "signed 8-bit": raw_tiff(GREY, "u1", 8, 1, 2),
    "LAB": saved(Image.frombytes("LAB", (16, 16), COLOURS.tobytes()), "TIFF"),
    "key of 16 bits": raw_png(FINE, 2, struct.pack(">HHH", *map(int, FINE[0, 0]))),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_pixels_of_unknown_meaning_are_refused(kind: str) -> None:
    with pytest.raises(
        FacsimileError, match=r"save it (with 8 or 16 bits|as 8-bit RGB)|unknown pi"
    ):
        decode_rgb(REFUSED[kind])


TURNED = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


@pytest.mark.parametrize("orientation", TURNED)
@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("PNG", {}),
        ("JPEG", {"quality": 98, "subsampling": 0}),
        ("WEBP", {"lossless": True}),
        ("TIFF", {}),
        ("TIFF", {"compression": "tiff_lzw"}),
    ],
    ids=["PNG", "JPEG", "WebP", "TIFF", "TIFF, LZW"],
)
def test_pictures_are_turned_upright(kind: str, options: dict, orientation: int) -> None:
    blocks = np.kron(pixels(5, 3, 2), np.ones((16, 16, 1), np.uint8))
    exif = Image.Exif()
    exif[0x0112] = orientation
    turned = Image.fromarray(blocks).transpose(TURNED[orientation])
    found = np.asarray(decode_rgb(saved(turned, kind, exif=exif, **options))).astype(int)
    assert np.abs(found - blocks).max() <= 2


def noisy(level: int, kind: str, **options: object) -> bytes:
    noise = np.random.default_rng(0).integers(-2, 3, (64, 64, 3))
    return saved(Image.fromarray((level + noise).clip(0, 255).astype(np.uint8)), kind, **options)


@pytest.mark.parametrize(
    "content",
    [
        png(np.zeros((8, 8, 3), np.uint8)),
        png(np.full((8, 8, 3), 255, np.uint8)),
        png(np.full((8, 8, 3), (10, 200, 90), np.uint8)),
        noisy(0, "PNG"),
        noisy(128, "PNG"),
        noisy(0, "JPEG", quality=75),
        noisy(0, "JPEG", quality=100),
        saved(Image.new("RGBA", (8, 8)), "PNG"),
        saved(Image.new("I;16", (8, 8)), "PNG"),
    ],
    ids=[
        "black",
        "white",
        "colour",
        "noise",
        "grey-noise",
        "JPEG",
        "fine-JPEG",
        "transparent",
        "16-bit",
    ],
)
def test_pictures_of_one_colour_show_nothing(content: bytes) -> None:
    with pytest.raises(
        BlankImageError, match=r"is blank: all pixels are about RGB \(\d+, \d+, \d+\)$"
    ):
        decode_square(content, 8)


def test_dark_and_pale_pictures_are_taken() -> None:
    for image in (pixels(1) // 12, 255 - pixels(1) // 12, shade(20)):
        np.testing.assert_array_equal(decode_square(png(image), 8), image)


def test_only_the_cropped_square_is_checked() -> None:
    wide = np.zeros((8, 24, 3), np.uint8)
    wide[:, :8] = pixels(1)
    with pytest.raises(BlankImageError):
        decode_square(png(wide), 8, crop=True)


def test_pictures_of_one_colour_are_rejects_that_end_nothing(tmp_path: Path) -> None:
    path = write_csv(tmp_path)
    (tmp_path / "img" / "3.png").write_bytes(png(np.zeros((8, 8, 3), np.uint8)))
    for on_error in ("raise", "skip"):
        faces, rejects = read(path, on_error)
        assert len(faces) == len(LINES) - 1
        (row,) = rejects.to_table().to_pylist()
        assert (row["line"], row["value"]) == (5, "img/3.png")
        assert row["reason"] == "is blank: all pixels are about RGB (0, 0, 0)"
    (tmp_path / "img" / "4.png").write_bytes(b"")
    with pytest.raises(FacsimileError, match=r"img/4\.png is empty$"):
        read(path)
