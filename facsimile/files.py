"""Atomic writes of files and folders, kinds of files, and conversion to plain JSON."""

import math
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path


def is_parquet(path: Path) -> bool:
    """Whether a file begins as Parquet files do, whatever its name."""
    with path.open("rb") as file:
        return file.read(4) == b"PAR1"


@contextmanager
def atomic_directory(path: Path) -> Iterator[Path]:
    """Yield a temporary folder that replaces `path` on success and is removed on failure."""
    path = Path(path)
    temporary = _temporary(path)
    replaced = temporary.with_suffix(".replaced.tmp")
    temporary.mkdir()
    try:
        yield temporary
        # Renamed, not deleted in place, so that a reader never sees a partial table.
        if path.exists():
            path.rename(replaced)
        temporary.rename(path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        shutil.rmtree(replaced, ignore_errors=True)


@contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """Yield a temporary path; the file written there replaces `path` on success only."""
    path = Path(path)
    temporary = _temporary(path)
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _temporary(path: Path) -> Path:
    """Temporary sibling of `path`, after removing leftovers of killed processes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    for stale in path.parent.glob(f".{path.name}.*.tmp"):
        if stale.is_dir():
            shutil.rmtree(stale, ignore_errors=True)
        else:
            stale.unlink(missing_ok=True)
    return path.with_name(f".{path.name}.{os.getpid()}.tmp")


def to_json(values: Mapping) -> dict:
    """Plain Python values for json.dump: NumPy scalars and arrays unwrapped, NaN as null."""
    return {str(key): _plain(value) for key, value in values.items()}


def _plain(value: object) -> object:
    # NumPy is not imported here: stage `sources` runs each time and must start fast.
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, Mapping):
        return to_json(value)
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
