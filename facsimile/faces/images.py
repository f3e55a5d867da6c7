"""Open untrusted image files safely: five formats, of limited size. Opens all user images.

Plain Pillow opens every format that it recognises by content, including PostScript, which starts an
interpreter. A small file may also expand to gigabytes of pixels.
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
"""Maximum pixels of an image: enough for 24-megapixel cameras, and at most 160 MB decoded."""

_READERS = {
    b"\x89PNG\r\n\x1a\n": PngImageFile,
    b"\xff\xd8\xff": JpegImageFile,
    b"BM": BmpImageFile,
    b"RIFF": WebPImageFile,
    **dict.fromkeys(PREFIXES, TiffImageFile),
}
"""First bytes of a file → its reader. Not `Image.open`, which warns about sizes and previews."""

# Pillow's warnings concern metadata that is not used, or repeat errors.
warnings.filterwarnings("ignore", module=r"PIL\.\w+ImagePlugin")

_TILE = (322, 323)
"""TIFF tags: width and height of a tile, which may exceed those of the image."""


@contextmanager
def open_image(source: Path | bytes) -> Iterator[Image.Image]:
    """Open an image without decoding its pixels.

    Args:
        source: file, or file contents.

    Raises:
        FacsimileError: the file is empty, not one of ``FORMATS``, larger than ``MAX_PIXELS``, an
            animation, or has several pages; also if decoding fails inside the context. The message
            completes a sentence that begins with the name of the image.
    """
    try:
        if isinstance(source, Path):
            # Reading a pipe would block.
            status = source.stat()
            if not stat.S_ISREG(status.st_mode):
                raise FacsimileError("is not a file")
            if not status.st_size:
                raise FacsimileError("is empty")
        elif not source:
            raise FacsimileError("is empty")
        stream = source.open("rb") if isinstance(source, Path) else io.BytesIO(source)
        with stream as file, _open(file) as picture:
            yield picture
    except (FacsimileError, MemoryError):  # MemoryError is not a fault of the image
        raise
    except Exception as error:  # PIL raises SyntaxError, OSError, struct.error, …
        raise FacsimileError(f"is unreadable ({error})") from error


def _open(file: io.BufferedIOBase) -> Image.Image:
    head = file.read(8)
    file.seek(0)
    reader = next((reader for start, reader in _READERS.items() if head.startswith(start)), None)
    if reader is None:
        raise FacsimileError(f"is unreadable (not an image in {FORMATS} format)")
    picture = reader(file)
    _check_size(*picture.size)
    if reader is TiffImageFile:
        _check_size(*(picture.tag_v2.get(tag, 1) for tag in _TILE))
    # Further images in a JPEG file are previews or depth maps, not frames.
    if getattr(picture, "is_animated", False):
        what = "pages" if reader is TiffImageFile else "animation frames"
        raise FacsimileError(f"has {picture.n_frames} {what}, but must be a single image")
    return picture


def _check_size(width: int, height: int) -> None:
    if width * height > MAX_PIXELS:
        millions = MAX_PIXELS // 1_000_000
        raise FacsimileError(f"is {width} × {height}, more than {millions} million pixels")
