"""Leases on compute devices: one stage at a time on each, of whatever flow and project.

A lease is a file lock. The kernel drops it with the process that holds it, however that ends, so
that no device stays taken; a slot of a Prefect concurrency limit would.
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

_SECONDS_BETWEEN_TRIES = 0.2


def find_devices() -> list[str]:
    """Ids for CUDA_VISIBLE_DEVICES, without importing torch; empty where there is only a CPU."""
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
    """Hold one of the devices, or the CPU if there are none; wait until one is free.

    Args:
        devices: ids of all devices.

    Yields:
        Environment in which only that device is visible.

    Raises:
        FacsimileError: the folder of locks is not this user's alone.
    """
    folder = _private_folder()
    while True:
        for device in devices or ["cpu"]:
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
    """Descriptor of a file to lock.

    Raises:
        FacsimileError: it cannot be written to, or is a link, which could lead anywhere.
    """
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise FacsimileError(f"{path}: cannot be used as a lock ({error.strerror})") from error


def try_lock(file: int) -> bool:
    """Take the lock of an open file, which ends with the process, unless somebody holds it."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _private_folder() -> Path:
    """This user's own folder of locks.

    Raises:
        FacsimileError: something else is in its place; the temporary folder is open to everybody.
    """
    folder = Path(tempfile.gettempdir()) / f"facsimile-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    status = folder.lstat()
    private = stat.S_ISDIR(status.st_mode) and status.st_uid == os.getuid()
    if not private or stat.S_IMODE(status.st_mode) & 0o077:
        raise FacsimileError(
            f"{folder}: not a folder that only you can use, as device locks need; remove it, or "
            "set TMPDIR to a folder of your own"
        )
    return folder
