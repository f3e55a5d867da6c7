"""Digests of files: MD5 for provenance, and SHA-256 of shipped models in their ``SHA256SUMS``.

`sha256sum --check SHA256SUMS` also verifies a model, and `sha256sum FILE... > SHA256SUMS` records
new digests.
"""

import hashlib
from collections.abc import Iterable
from pathlib import Path

from facsimile.errors import FacsimileError

DIGESTS = "SHA256SUMS"


def record_digests(folder: Path, names: Iterable[str]) -> None:
    """Write the digests of the named files in a folder, replacing earlier ones."""
    lines = (f"{_sha256(folder / name)}  {name}\n" for name in sorted(names))
    (folder / DIGESTS).write_text("".join(lines))


def check_digests(folder: Path) -> bool:
    """Check the files of a folder against their recorded digests.

    Returns:
        True if all match; False if no digests are recorded.

    Raises:
        FacsimileError: a file was modified or is missing, or the record is invalid.
    """
    record = folder / DIGESTS
    if not record.exists():
        return False
    for number, line in enumerate(record.read_text().splitlines(), 1):
        digest, _, name = line.partition("  ")
        if not name or len(digest) != 64:
            raise FacsimileError(f"{record}: line {number}: not a SHA-256 digest and a file name")
        path = folder / name
        hint = f"`git checkout -- {folder}` restores the shipped files"
        if not path.exists():
            raise FacsimileError(f"{path}: missing, but listed in {DIGESTS}; {hint}")
        found = _sha256(path)
        if found != digest:
            raise FacsimileError(
                f"{path}: does not match {DIGESTS} (SHA-256 {found[:8]}… instead of "
                f"{digest[:8]}…); {hint}; to keep the new file, run "
                f"`sha256sum {_names(record)} > {DIGESTS}` in that folder"
            )
    return True


def file_md5(path: Path) -> str:
    """MD5 of a file, as DVC records it."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "md5").hexdigest()


def _names(record: Path) -> str:
    return " ".join(line.partition("  ")[2] for line in record.read_text().splitlines())


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
