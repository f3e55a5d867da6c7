"""Files as tables name them → files on disk."""

import os
import re
import unicodedata
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

_DRIVE = re.compile(r"[A-Za-z]:[\\/]|\\\\")


def is_file(path: Path) -> bool:
    """Whether there is such a file; what cannot be the name of one is none."""
    return os.path.isfile(path)  # noqa: PTH113 - Path.is_file raises for names that are too long


def spelt_on_disk(folder: Path, name: str) -> str:
    """`name` as the file is spelt, or as given where there is none.

    A name may have backslashes, as on Windows, and letters with accents composed (NFC) or
    decomposed (NFD), as on macOS, part by part.

    Args:
        folder: where relative names begin.
        name: file, relative or absolute.
    """
    spellings = dict.fromkeys((name, name.replace("\\", "/")))
    for spelling in spellings:
        if is_file(folder / spelling):
            return spelling
    for spelling in spellings:
        if not spelling.isascii():
            found = next(_forms(folder, Path(spelling).parts), None)
            if found is not None and is_file(folder / found):
                return str(found)
    return name


def _forms(folder: Path, parts: tuple[str, ...], found: Path = Path()) -> Iterator[Path]:
    """Paths in `folder` that are `parts` in either form of unicode."""
    if not parts:
        yield found
        return
    first, *others = parts
    for form in dict.fromkeys((first, composed(first), unicodedata.normalize("NFD", first))):
        if os.path.lexists(folder / found / form):
            yield from _forms(folder, tuple(others), found / form)


def composed(text: str) -> str:
    """Text with accents composed (NFC): one spelling of each name."""
    return unicodedata.normalize("NFC", text)


def no_file_hint(path: Path, name: str) -> str:
    """What may be meant by a file that is not there, to follow a message; often nothing."""
    if _DRIVE.match(name):
        return "; it is a path of Windows: give it relative to the table"
    if re.match(r"[a-z]+://", name):
        return "; it is an address: download it first"
    alike = _names(str(path.parent)).get(path.name.casefold())
    return f"; there is {alike}" if alike else ""


@lru_cache(maxsize=16)
def _names(folder: str) -> dict[str, str]:
    """Names in a folder by their small letters."""
    try:
        return {name.casefold(): name for name in os.listdir(folder)}  # noqa: PTH208
    except (OSError, ValueError):
        return {}
