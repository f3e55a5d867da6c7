"""Explain machine faults, such as a full disk or missing permissions, in one line with a remedy.

They arrive as OSError, or as library-specific errors from libraries that write files themselves.
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
_ALMOST_NOTHING = 4 * 2**20  # bytes; writes may fail before the last byte is used

# Paths that may be large in a project.
_LARGE = (".dvc/cache", "data/*", "data/.*.work", "mlruns", "mlflow.db", "build/*", ".facsimile")
_SHOWN = 3


@contextmanager
def explain_faults(root: Path | None = None) -> Iterator[None]:
    """Turn machine faults into FacsimileError (see `explain`); pass on other errors."""
    try:
        yield
    except FacsimileError:
        raise
    except Exception as error:  # torch, Arrow and SQLite raise their own error classes
        line = explain(error, root)
        if line is None:
            raise
        raise FacsimileError(line) from error


def explain(error: BaseException, root: Path | None = None) -> str | None:
    """One line with the fault and its remedy; None if the error is not a machine fault.

    Args:
        error: the error; the chain of its causes is searched as well.
        root: project folder (default: the current folder).
    """
    root = root or Path.cwd()
    for cause in _causes(error):
        path = Path(os.fsdecode(cause.filename)) if getattr(cause, "filename", None) else None
        if is_full(cause, root):
            return disk_full(root, path)
        if isinstance(cause, OSError) and cause.errno in (errno.EACCES, errno.EPERM):
            return (
                f"{path or root}: permission denied for user {os.geteuid()}; "
                "grant read and write access, or run as the owner of the project"
            )
        if isinstance(cause, OSError) and cause.errno == errno.EROFS:
            return (
                f"{path or root}: the file system is read-only; "
                "work in a writable copy of the project"
            )
        if isinstance(cause, OSError) and cause.errno == errno.EMFILE:
            return "too many open files; raise the limit, for example with `ulimit -n 4096`"
    return None


def is_full(error: BaseException, root: Path) -> bool:
    """Whether an error means that a disk is full or a quota is exceeded."""
    if isinstance(error, OSError) and error.errno in _FULL:
        return True
    text = str(error)
    if any(full in text.lower() for full in _FULL_TEXTS):
        return True
    # torch only reports that a write failed.
    return any(part in text for part in _FULL_PERHAPS) and _fullest(root)[1] < _ALMOST_NOTHING


def disk_full(root: Path, path: Path | None = None) -> str:
    """One line that names the full disk, what uses most space in the project, and the remedy.

    Args:
        root: project folder.
        path: path that could not be written (default: the project or the temporary folder,
            whichever has less free space).
    """
    mount, free = _fullest(root) if path is None else (_mount(path), _free(path))
    line = f"disk full: {_size(free)} left on {mount}"
    if mount != _mount(root):
        return f"{line}; free some space, or set TMPDIR to a folder on another disk"
    largest = sorted(((_used(path), path) for path in _candidates(root)), reverse=True)
    shown = [f"{path.relative_to(root)} {_size(used)}" for used, path in largest[:_SHOWN] if used]
    if shown:
        line += f" (largest in the project: {', '.join(shown)})"
    return f"{line}; free some space, e.g. with `dvc gc --workspace`, which drops earlier results"


def _causes(error: BaseException) -> Iterator[BaseException]:
    """An error and the chain of its causes."""
    seen: list[BaseException] = []
    cause: BaseException | None = error
    while cause is not None and cause not in seen:
        seen.append(cause)
        yield cause
        cause = cause.__cause__ or (None if cause.__suppress_context__ else cause.__context__)


def _fullest(root: Path) -> tuple[Path, int]:
    """Mount point with the least free space among project and temporary folder, and that space."""
    folder = min((root, Path(tempfile.gettempdir())), key=_free)
    return _mount(folder), _free(folder)


def _free(path: Path) -> int:
    return shutil.disk_usage(_existing(path)).free


def _mount(path: Path) -> Path:
    """Mount point of a path's file system."""
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
    return [path for path in found if path.suffix != ".tmp"]  # removed automatically


def _used(path: Path) -> int:
    """Size of a file or of all files in a folder, in bytes."""
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
