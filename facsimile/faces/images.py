"""Pictures of others are opened here and nowhere else: five formats, of limited size.

Pillow by itself opens whatever it recognises, by content and not by name, PostScript for instance,
which starts an interpreter; and a small file may stand for gigabytes of pixels.
"""

import io
import stat
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image
from PIL.BmpImagePlugin import BmpImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import PREFIXES, TiffImageFile
from PIL.WebPImagePlugin import WebPImageFile

from facsimile.errors import FacsimileError

FORMATS = "PNG, JPEG, BMP, WebP or TIFF"

MAX_PIXELS = 40_000_000
"""Most pixels of a picture: 24 megapixels of a camera pass, and 160 MB are enough to decode it."""

_READERS = {
    b"\x89PNG\r\n\x1a\n": PngImageFile,
    b"\xff\xd8\xff": JpegImageFile,
    b"BM": BmpImageFile,
    b"RIFF": WebPImageFile,
    **dict.fromkeys(PREFIXES, TiffImageFile),
}
"""How a file begins → what reads it. Not `Image.open`, which warns of sizes and of previews."""

# Of remarks beside the pixels that are not read, and of what is told as an error.
warnings.filterwarnings("ignore", module=r"PIL\.\w+ImagePlugin")

_TILE = (322, 323)
"""TIFF: width and height of the pieces that are decoded at once, which may exceed the picture."""


@contextmanager
def open_image(source: Path | bytes) -> Iterator[Image.Image]:
    """A picture whose pixels are yet to be decoded.

    Args:
        source: file, or its bytes.

    Raises:
        FacsimileError: why it cannot be taken, as the end of a sentence that begins with its name:
            no bytes, no ``FORMATS``, more than ``MAX_PIXELS``, an animation or several pages; also
            for what fails while it is decoded in the context.
    """
    try:
        if isinstance(source, Path):
            # A pipe would be waited for without end.
            status = source.stat()
            if not stat.S_ISREG(status.st_mode):
                raise FacsimileError("is no file")
            if not status.st_size:
                raise FacsimileError("has no bytes")
        elif not source:
            raise FacsimileError("has no bytes")
        stream = source.open("rb") if isinstance(source, Path) else io.BytesIO(source)
        with stream as file, _open(file) as picture:
            yield picture
    except (FacsimileError, MemoryError):  # the latter says nothing about the picture
        raise
    except Exception as error:  # PIL raises SyntaxError, OSError, struct.error, …
        raise FacsimileError(f"is unreadable ({error})") from error


def _open(file: io.BufferedIOBase) -> Image.Image:
    head = file.read(8)
    file.seek(0)
    reader = next((reader for start, reader in _READERS.items() if head.startswith(start)), None)
    if reader is None:
        raise FacsimileError(f"is unreadable (cannot identify image file: no {FORMATS})")
    picture = reader(file)
    _check_size(*picture.size)
    if reader is TiffImageFile:
        _check_size(*(picture.tag_v2.get(tag, 1) for tag in _TILE))
    # Not of JPEG: what follows there is a preview or a map of depth.
    if getattr(picture, "is_animated", False):
        what = "pages" if reader is TiffImageFile else "frames of an animation"
        raise FacsimileError(f"holds {picture.n_frames} {what}, not one picture")
    return picture


def _check_size(width: int, height: int) -> None:
    if width * height > MAX_PIXELS:
        millions = MAX_PIXELS // 1_000_000
        raise FacsimileError(f"is {width} × {height}, more than {millions} million pixels")
