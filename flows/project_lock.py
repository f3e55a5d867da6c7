"""Project lock: only one run at a time may execute stages in a project; other runs queue up.

It is a file lock, which the kernel releases when the process ends, even if killed. The file names
the run that holds the lock.
"""

import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import psutil

from facsimile.errors import FacsimileError
from flows.device_lease import open_lock, try_lock

LOCK = Path(".dvc/tmp/facsimile.lock")
RWLOCK = Path(".dvc/tmp/rwlock")

_SECONDS_BETWEEN_TRIES = 0.5


@contextmanager
def project_lock(root: Path, name: str, on_wait: Callable[[str], None]) -> Iterator[None]:
    """Wait until the project lock is free, then hold it.

    Args:
        root: project folder.
        name: name of this run, shown to the runs that wait.
        on_wait: called with the holder of the lock, once per holder.

    Raises:
        FacsimileError: `root` is not writable.
    """
    path = root / LOCK
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FacsimileError(f"{path.parent}: cannot be created ({error.strerror})") from error
    file = open_lock(path)
    try:
        last_holder = ""
        while not try_lock(file):
            if (holder := _holder(path)) != last_holder:
                last_holder = holder
                on_wait(holder)
            time.sleep(_SECONDS_BETWEEN_TRIES)
        since = datetime.now().astimezone().isoformat(" ", timespec="seconds")
        os.ftruncate(file, 0)
        os.pwrite(file, json.dumps([name, os.getpid(), since]).encode(), 0)
        yield
    finally:
        os.close(file)


def running_stages(root: Path, outs: dict[str, tuple[str, ...]]) -> set[str]:
    """Stages that any DVC process is running now.

    Args:
        root: project folder.
        outs: output paths of each stage, relative to `root`.
    """
    try:
        writes = json.loads((root / RWLOCK).read_text()).get("write", {})
    except (OSError, ValueError):  # no run yet, or DVC is writing the file
        return set()
    busy = {path for path, holder in writes.items() if psutil.pid_exists(holder["pid"])}
    return {
        stage
        for stage, paths in outs.items()
        if any(str((root / path).resolve()) in busy for path in paths)
    }


def _holder(path: Path) -> str:
    try:
        name, pid, since = json.loads(path.read_text())
    except ValueError:  # the file is being written
        return "another run"
    return f"{name} (process {pid}, since {since})"
