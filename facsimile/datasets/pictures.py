"""Images as they come → square RGB pixels."""

import io
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from facsimile.errors import FacsimileError

WHITE = (255, 255, 255)


def decode_rgb(source: Path | bytes | Image.Image | None) -> Image.Image:
    """Decode a picture of any mode that PNG and JPEG know.

    Greyscale and palettes are spread to RGB, 16 bits reduced to 8, CMYK converted, transparent
    parts laid on white, and the orientation that a camera noted is applied.

    Args:
        source: file, its bytes, or a picture that is decoded already.

    Raises:
        FacsimileError: why it cannot be taken, as the end of a sentence that begins with its name:
            no bytes, unreadable.
    """
    if source is None or source == b"" or (isinstance(source, Path) and _is_empty(source)):
        raise FacsimileError("has no bytes")
    try:
        if isinstance(source, Image.Image):
            return _to_rgb(source)
        with Image.open(source if isinstance(source, Path) else io.BytesIO(source)) as picture:
            return _to_rgb(ImageOps.exif_transpose(picture))
    except MemoryError:  # says nothing about the image
        raise
    except Exception as error:  # PIL raises SyntaxError, OSError, struct.error, …
        raise FacsimileError(f"is unreadable ({error})") from error


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
    """
    picture = decode_rgb(source)
    width, height = picture.size
    if width != height and not crop:
        raise FacsimileError(f"is {width} × {height}, aligned faces are square")
    side = min(width, height)
    left, top = (width - side) // 2, (height - side) // 2
    picture = picture.crop((left, top, left + side, top + side))
    if side != size:
        picture = picture.resize((size, size), Image.Resampling.LANCZOS)
    return np.asarray(picture)


def _is_empty(file: Path) -> bool:
    try:
        return file.stat().st_size == 0
    except OSError:  # told as unreadable
        return False


def _to_rgb(picture: Image.Image) -> Image.Image:
    if picture.mode.startswith("I"):
        # PIL would clip 16 bits at 255 instead of scaling them.
        grey = np.asarray(picture).clip(0, 65535) / 257
        picture = Image.fromarray(grey.round().astype(np.uint8))
    if picture.has_transparency_data:
        picture = picture.convert("RGBA")
        ground = Image.new("RGBA", picture.size, (*WHITE, 255))
        picture = Image.alpha_composite(ground, picture)
    return picture.convert("RGB")
