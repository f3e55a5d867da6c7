"""Find the files on disk that a table refers to."""

import os
import re
import unicodedata
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

_DRIVE = re.compile(r"[A-Za-z]:[\\/]|\\\\")


def is_file(path: Path) -> bool:
    """Whether the path is an existing file; False for invalid file names."""
    return os.path.isfile(path)  # noqa: PTH113 - Path.is_file raises for names that are too long


def resolve_spelling(folder: Path, name: str) -> str:
    """`name` as it is spelt on disk, or unchanged if there is no such file.

    A name may have backslashes (Windows), and each part of it may be in Unicode normal form NFC or
    NFD (macOS).

    Args:
        folder: base of relative names.
        name: file name, relative or absolute.
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
    """Existing paths in `folder` that equal `parts` in either Unicode normal form."""
    if not parts:
        yield found
        return
    first, *others = parts
    for form in dict.fromkeys((first, to_nfc(first), unicodedata.normalize("NFD", first))):
        if os.path.lexists(folder / found / form):
            yield from _forms(folder, tuple(others), found / form)


def to_nfc(text: str) -> str:
    """Text in Unicode normal form NFC, so that each name has one spelling."""
    return unicodedata.normalize("NFC", text)


def missing_file_hint(path: Path, name: str) -> str:
    """A hint to append to a message about a missing file; may be empty."""
    if _DRIVE.match(name):
        return "; it is a Windows path: make it relative to the table"
    if re.match(r"[a-z]+://", name):
        return "; it is a URL: download the file first"
    similar = _names(str(path.parent)).get(path.name.casefold())
    return f"; there is {similar}" if similar else ""


@lru_cache(maxsize=16)
def _names(folder: str) -> dict[str, str]:
    """Names in a folder by their lower-case form."""
    try:
        return {name.casefold(): name for name in os.listdir(folder)}  # noqa: PTH208
    except (OSError, ValueError):
        return {}
