"""One run at a time in a project: demo, nightly, on-demand and what else conducts stages queue up.

The lock is a file lock, which the kernel drops with the process that holds it, however that ends.
Who holds it stands in the file, for those who wait.
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
def project_lock(root: Path, name: str, wait: Callable[[str], None]) -> Iterator[None]:
    """Hold the lock of a project; wait until it is free.

    Args:
        root: project folder.
        name: of the run that holds it.
        wait: told in a few words who holds the lock, once for each holder waited for.

    Raises:
        FacsimileError: `root` cannot be written to.
    """
    path = root / LOCK
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FacsimileError(f"{path.parent}: cannot be made ({error.strerror})") from error
    file = open_lock(path)
    try:
        told = ""
        while not try_lock(file):
            if (holder := _holder(path)) != told:
                told = holder
                wait(holder)
            time.sleep(_SECONDS_BETWEEN_TRIES)
        since = datetime.now().astimezone().isoformat(" ", timespec="seconds")
        os.ftruncate(file, 0)
        os.pwrite(file, json.dumps([name, os.getpid(), since]).encode(), 0)
        yield
    finally:
        os.close(file)


def running_stages(root: Path, outs: dict[str, tuple[str, ...]]) -> set[str]:
    """Stages that some DVC process is running now, whoever started it.

    Args:
        root: project folder.
        outs: stage → what it writes, relative to `root`.
    """
    try:
        writes = json.loads((root / RWLOCK).read_text()).get("write", {})
    except (OSError, ValueError):  # no run yet, or DVC is writing the file right now
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
    except ValueError:  # it is just being written
        return "another run"
    return f"{name} (process {pid}, since {since})"
