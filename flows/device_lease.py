"""Leases on compute devices, across flows and projects: a GPU runs one stage at a time.

Without a GPU, two stages share the CPU: while one imports, reads or writes on one thread, the other
keeps the other cores busy.

A lease is a file lock. The kernel releases it when the process ends, even if killed, so no device
stays locked. A slot of a Prefect concurrency limit would stay taken.
"""

import fcntl
import os
import shutil
import stat
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from facsimile.errors import FacsimileError

CPU_SLOTS = ("cpu-0", "cpu-1")

_SECONDS_BETWEEN_TRIES = 0.2


def find_devices() -> list[str]:
    """GPU ids for CUDA_VISIBLE_DEVICES, found without importing torch; empty without a GPU."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return [device for device in visible.split(",") if device.strip() not in ("", "-1")]
    if not shutil.which("nvidia-smi"):
        return []
    listed = subprocess.run(["nvidia-smi", "--list-gpus"], capture_output=True, text=True)
    gpus = [line for line in listed.stdout.splitlines() if line.startswith("GPU ")]
    return [str(index) for index in range(len(gpus))]


@contextmanager
def lease(devices: Sequence[str]) -> Iterator[dict[str, str]]:
    """Wait until a device is free and hold it; without devices, hold a slot of the CPU.

    Args:
        devices: ids of all devices.

    Yields:
        Environment variables that make only that device visible.

    Raises:
        FacsimileError: the lock folder is accessible to other users.
    """
    folder = _private_folder()
    while True:
        for device in devices or CPU_SLOTS:
            path = folder / f"{device}.lock"
            file = open_lock(path)
            try:
                if try_lock(file):
                    yield {"CUDA_VISIBLE_DEVICES": device} if devices else {}
                    return
            finally:
                os.close(file)
        time.sleep(_SECONDS_BETWEEN_TRIES)


def open_lock(path: Path) -> int:
    """Open a lock file and return its descriptor.

    Raises:
        FacsimileError: the file is not writable, or is a symbolic link (refused for safety).
    """
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise FacsimileError(f"{path}: cannot be used as a lock ({error.strerror})") from error


def try_lock(file: int) -> bool:
    """Lock an open file until the process ends. Returns False if another process holds the lock."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _private_folder() -> Path:
    """Folder of lock files that only this user can access.

    Raises:
        FacsimileError: the path exists but is not such a folder (anyone can write to /tmp).
    """
    folder = Path(tempfile.gettempdir()) / f"facsimile-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    status = folder.lstat()
    private = stat.S_ISDIR(status.st_mode) and status.st_uid == os.getuid()
    if not private or stat.S_IMODE(status.st_mode) & 0o077:
        raise FacsimileError(
            f"{folder}: device locks need a folder that only you can access; remove it, or set "
            "TMPDIR to a private folder"
        )
    return folder
