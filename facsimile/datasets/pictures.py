"""Images as they come → square RGB pixels."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from facsimile.errors import FacsimileError
from facsimile.faces.images import open_image

WHITE = (255, 255, 255)

UNIFORM = 3.0
"""Standard deviation of each channel, of 255, below which a picture shows nothing.

Noise of ±2 around black has 1.4, a face some tens.
"""

_KNOWN = ("1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr")
"""Modes of 8 bits or less that PIL converts to RGB as they are meant."""

# TIFF: bits of a sample, whether 0 is white, and whether samples are unsigned, signed or floats.
_BITS, _PHOTOMETRIC, _SAMPLE_FORMAT = 258, 262, 339


class UniformError(FacsimileError):
    """A picture of one colour: what tools write where they lost the face."""


def decode_rgb(source: Path | bytes | Image.Image | None) -> Image.Image:
    """Decode a picture of 8 or 16 bits.

    Greyscale and palettes are spread to RGB, 16 bits reduced to 8, CMYK converted, transparent
    parts laid on white, and the orientation that a camera noted is applied.

    Args:
        source: file, its bytes, or a picture that is decoded already.

    Raises:
        FacsimileError: why it cannot be taken, as the end of a sentence that begins with its name:
            see `open_image`; pixels of another kind, such as floats, whose range nobody knows.
    """
    if isinstance(source, Image.Image):
        return _to_rgb(source)
    with open_image(source or b"") as picture:
        ImageOps.exif_transpose(picture, in_place=True)
        return _to_rgb(picture)


def decode_square(
    source: Path | bytes | Image.Image | None, size: int, crop: bool = False
) -> np.ndarray:
    """Decode an aligned face, see `decode_rgb`.

    Args:
        source: file, its bytes, or a picture that is decoded already.
        size: side to which the face is resized, pixels.
        crop: take the largest centred square of what is not square.

    Returns:
        uint8 (size, size, 3).

    Raises:
        FacsimileError: those of `decode_rgb`, and not square.
        UniformError: one colour.
    """
    picture = decode_rgb(source)
    width, height = picture.size
    if width != height and not crop:
        raise FacsimileError(f"is {width} × {height}, aligned faces are square")
    if width != height:
        side = min(width, height)
        left, top = (width - side) // 2, (height - side) // 2
        picture = picture.crop((left, top, left + side, top + side))
    refuse_uniform(picture)
    if picture.width != size:
        picture = picture.resize((size, size), Image.Resampling.LANCZOS)
    return np.asarray(picture)


def refuse_uniform(picture: Image.Image) -> None:
    """Raise UniformError if an RGB picture is of one colour, give or take noise."""
    shares = np.array(picture.histogram()).reshape(3, 256) / (picture.width * picture.height)
    levels = np.arange(256)
    means = shares @ levels
    if np.sqrt(shares @ levels**2 - means**2 + 1e-6).max() < UNIFORM:
        red, green, blue = means.round().astype(int)
        raise UniformError(f"shows nothing: all of it is RGB ({red}, {green}, {blue})")


def _to_rgb(picture: Image.Image) -> Image.Image:
    tags = getattr(picture, "tag_v2", {})
    if set(tags.get(_SAMPLE_FORMAT, (1,))) != {1}:
        raise FacsimileError(
            "has pixels that are signed or floats, whose range is not told: save it with 8 or 16 "
            "bits"
        )
    # PNG has no more than 16 bits, whatever PIL calls them.
    if picture.mode.startswith("I;16") or (picture.mode == "I" and picture.format == "PNG"):
        picture = _from_16_bits(picture, tags)
    if picture.mode not in _KNOWN:
        raise FacsimileError(f"has pixels of the kind {picture.mode}: save it as RGB of 8 bits")
    key = picture.info.get("transparency")
    if picture.mode == "RGB" and key and max(key) > 255:  # PIL compares it with 8 bits
        raise FacsimileError("has a transparent colour of 16 bits: save it as RGB of 8 bits")
    if picture.mode == "La":
        picture = picture.convert("LA")
    if picture.has_transparency_data:
        picture = picture.convert("RGBA")
        ground = Image.new("RGBA", picture.size, (*WHITE, 255))
        picture = Image.alpha_composite(ground, picture)
    return picture if picture.mode == "RGB" else picture.convert("RGB")


def _from_16_bits(picture: Image.Image, tags: dict[int, object]) -> Image.Image:
    """Grey values scaled to 8 bits, which PIL would clip at 255."""
    top = 2 ** tags.get(_BITS, (16,))[0] - 1
    values = np.asarray(picture).astype(np.uint32)
    grey = ((values * 255 + top // 2) // top).astype(np.uint8)
    if tags.get(_PHOTOMETRIC) == 0:
        grey = 255 - grey
    if "transparency" in picture.info:
        grey[values == picture.info["transparency"]] = 255
    return Image.fromarray(grey)
