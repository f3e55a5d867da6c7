"""Faults of the machine, each told in one line with what to do: a full disk, missing rights.

They reach Python as OSError, and from libraries that write files themselves as errors of their own.
"""

import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from facsimile.errors import FacsimileError

_FULL = (errno.ENOSPC, errno.EDQUOT)
_FULL_TEXTS = (
    "no space left on device",
    "[errno 28]",
    "os error 28",  # safetensors
    "disk quota exceeded",
    "database or disk is full",  # SQLite
)
_FULL_PERHAPS = ("PytorchStreamWriter", "file write failed", "iostream error")  # torch
_ALMOST_NOTHING = 4 * 2**20  # bytes; a file system is full before the last one is taken

# What may be large in a project: a folder of DVC's cache, of outputs, of MLflow, of pictures.
_LARGE = (".dvc/cache", "data/*", "data/.*.work", "mlruns", "mlflow.db", "build/*", ".facsimile")
_SHOWN = 3


@contextmanager
def faults_told(root: Path | None = None) -> Iterator[None]:
    """Raise faults of the machine as FacsimileError, see `told`; other errors as they are."""
    try:
        yield
    except FacsimileError:
        raise
    except Exception as error:  # torch, Arrow and SQLite have classes of their own
        line = told(error, root)
        if line is None:
            raise
        raise FacsimileError(line) from error


def told(error: BaseException, root: Path | None = None) -> str | None:
    """A line on the fault and its cure; None if the error is not one of the machine.

    Args:
        error: what was raised, perhaps because of another one.
        root: project folder; the current one where it is not given.
    """
    root = root or Path.cwd()
    for cause in _causes(error):
        path = Path(os.fsdecode(cause.filename)) if getattr(cause, "filename", None) else None
        if is_full(cause, root):
            return disk_full(root, path)
        if isinstance(cause, OSError) and cause.errno in (errno.EACCES, errno.EPERM):
            return (
                f"{path or root}: permission denied for user {os.geteuid()}; "
                "give it the right to read and write there, or run as the owner of the project"
            )
        if isinstance(cause, OSError) and cause.errno == errno.EROFS:
            return (
                f"{path or root}: the file system is read-only; "
                "work in a copy of the project that can be written to"
            )
        if isinstance(cause, OSError) and cause.errno == errno.EMFILE:
            return "too many open files; raise the limit, for instance by `ulimit -n 4096`"
    return None


def is_full(error: BaseException, root: Path) -> bool:
    """Whether an error says that a disk is full or a quota used up."""
    if isinstance(error, OSError) and error.errno in _FULL:
        return True
    text = str(error)
    if any(full in text.lower() for full in _FULL_TEXTS):
        return True
    # torch only says that it could not write.
    return any(part in text for part in _FULL_PERHAPS) and _fullest(root)[1] < _ALMOST_NOTHING


def disk_full(root: Path, path: Path | None = None) -> str:
    """A line on which disk is full, what takes most of it here and how to get rid of it.

    Args:
        root: project folder.
        path: that could not be written; by default, whichever of project and temporary files has
            the least space left.
    """
    place, free = _fullest(root) if path is None else (_mount(path), _free(path))
    line = f"disk full: {_size(free)} left on {place}, too little for what was to be written"
    if place != _mount(root):
        return f"{line}; free some, or set TMPDIR to a folder elsewhere"
    largest = sorted(((_taken(found), found) for found in _candidates(root)), reverse=True)
    shown = [
        f"{found.relative_to(root)} {_size(taken)}" for taken, found in largest[:_SHOWN] if taken
    ]
    if shown:
        line += f" (largest in the project: {', '.join(shown)})"
    return f"{line}; free some, for instance by `dvc gc --workspace`, which drops earlier results"


def _causes(error: BaseException) -> Iterator[BaseException]:
    """An error and what led to it."""
    seen: list[BaseException] = []
    cause: BaseException | None = error
    while cause is not None and cause not in seen:
        seen.append(cause)
        yield cause
        cause = cause.__cause__ or (None if cause.__suppress_context__ else cause.__context__)


def _fullest(root: Path) -> tuple[Path, int]:
    """Where least space is left of where stages write, and how much, in bytes."""
    place = min((root, Path(tempfile.gettempdir())), key=_free)
    return _mount(place), _free(place)


def _free(path: Path) -> int:
    return shutil.disk_usage(_existing(path)).free


def _mount(path: Path) -> Path:
    """Where the file system of a path is mounted."""
    path = _existing(path).resolve()
    while not path.is_mount():
        path = path.parent
    return path


def _existing(path: Path) -> Path:
    path = path.absolute()
    while not path.exists():
        path = path.parent
    return path


def _candidates(root: Path) -> list[Path]:
    found = (path for pattern in _LARGE for path in root.glob(pattern))
    return [path for path in found if path.suffix != ".tmp"]  # these go by themselves


def _taken(path: Path) -> int:
    """Bytes of a file, or of all in a folder."""
    if not path.is_dir():
        return path.stat().st_size
    return sum(
        (Path(folder) / name).lstat().st_size
        for folder, _, names in os.walk(path)
        for name in names
    )


def _size(count: float) -> str:
    for unit in ("bytes", "KB", "MB"):
        if count < 1000:
            return f"{count:,.0f} {unit}"
        count /= 1000
    return f"{count:,.1f} GB"
