"""Decode image files to square RGB images."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from facsimile.errors import FacsimileError
from facsimile.faces.images import open_image

WHITE = (255, 255, 255)

BLANK_STD = 3.0
"""An image is blank if the standard deviation of each channel, of 255, is below this.

Noise of ±2 around black has 1.4; faces have well above 10.
"""

_CONVERTIBLE = ("1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr")
"""PIL modes of at most 8 bits that PIL converts to RGB correctly."""

# TIFF tags: bits per sample; whether 0 is white; whether samples are unsigned, signed or floats.
_BITS, _PHOTOMETRIC, _SAMPLE_FORMAT = 258, 262, 339


class BlankImageError(FacsimileError):
    """An image of a single colour, such as face trackers write when they lose the face."""


def decode_rgb(source: Path | bytes | Image.Image | None) -> Image.Image:
    """Decode an image of 8 or 16 bits per channel to RGB.

    Greyscale, palette and CMYK images are converted to RGB, 16 bits are reduced to 8, transparent
    areas become white, and the EXIF orientation is applied.

    Args:
        source: file, file contents, or an image that is already decoded.

    Raises:
        FacsimileError: the image is unusable (see `open_image`), or has pixels of another type,
            such as floats, whose range is unknown. The message completes a sentence that begins
            with the name of the image.
    """
    if isinstance(source, Image.Image):
        return _to_rgb(source)
    with open_image(source or b"") as image:
        ImageOps.exif_transpose(image, in_place=True)
        return _to_rgb(image)


def decode_square(
    source: Path | bytes | Image.Image | None, size: int, crop: bool = False
) -> np.ndarray:
    """Decode an aligned face, see `decode_rgb`.

    Args:
        source: file, file contents, or an image that is already decoded.
        size: side to which the face is resized, pixels.
        crop: crop an image that is not square to the largest centred square.

    Returns:
        uint8 (size, size, 3).

    Raises:
        FacsimileError: see `decode_rgb`; or the image is not square.
        BlankImageError: the image has only one colour.
    """
    image = decode_rgb(source)
    width, height = image.size
    if not crop:
        check_square(width, height)
    if width != height:
        side = min(width, height)
        left, top = (width - side) // 2, (height - side) // 2
        image = image.crop((left, top, left + side, top + side))
    check_not_blank(image)
    if image.width != size:
        image = image.resize((size, size), Image.Resampling.LANCZOS)
    return np.asarray(image)


def check_square(width: int, height: int) -> None:
    """Raise FacsimileError if an image is not square."""
    if width != height:
        raise FacsimileError(f"is {width} × {height}, but aligned faces are square")


def check_not_blank(image: Image.Image) -> None:
    """Raise BlankImageError if an RGB image has only one colour, up to noise."""
    shares = np.array(image.histogram()).reshape(3, 256) / (image.width * image.height)
    levels = np.arange(256)
    means = shares @ levels
    if np.sqrt(shares @ levels**2 - means**2 + 1e-6).max() < BLANK_STD:
        red, green, blue = means.round().astype(int)
        raise BlankImageError(f"is blank: all pixels are about RGB ({red}, {green}, {blue})")


def _to_rgb(image: Image.Image) -> Image.Image:
    tags = getattr(image, "tag_v2", {})
    if set(tags.get(_SAMPLE_FORMAT, (1,))) != {1}:
        raise FacsimileError(
            "has signed or floating-point pixels, whose range is unknown: save it with 8 or 16 bits"
        )
    # PIL's mode I of a PNG is 16 bits.
    if image.mode.startswith("I;16") or (image.mode == "I" and image.format == "PNG"):
        image = _from_16_bits(image, tags)
    if image.mode not in _CONVERTIBLE:
        raise FacsimileError(f"has pixels of type {image.mode}: save it as 8-bit RGB")
    key = image.info.get("transparency")
    if image.mode == "RGB" and key and max(key) > 255:  # PIL would compare it with 8 bits
        raise FacsimileError("has a 16-bit transparent colour: save it as 8-bit RGB")
    if image.mode == "La":
        image = image.convert("LA")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        ground = Image.new("RGBA", image.size, (*WHITE, 255))
        image = Image.alpha_composite(ground, image)
    return image if image.mode == "RGB" else image.convert("RGB")


def _from_16_bits(image: Image.Image, tags: dict[int, object]) -> Image.Image:
    """Scale grey values to 8 bits; PIL would clip them at 255."""
    top = 2 ** tags.get(_BITS, (16,))[0] - 1
    values = np.asarray(image).astype(np.uint32)
    grey = ((values * 255 + top // 2) // top).astype(np.uint8)
    if tags.get(_PHOTOMETRIC) == 0:
        grey = 255 - grey
    if "transparency" in image.info:
        grey[values == image.info["transparency"]] = 255
    return Image.fromarray(grey)
