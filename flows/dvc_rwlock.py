"""DVC's read-write lock, ``.dvc/tmp/rwlock``: the paths that each DVC process reads and writes.

DVC drops entries of dead processes. But it fails on every command if a dead process's id has been
reused by another program, or if the file is truncated.
"""

import fcntl
import json
from pathlib import Path
from typing import Any

import psutil

RWLOCK = Path(".dvc/tmp/rwlock")
GUARD = Path(".dvc/tmp/rwlock.lock")  # DVC holds this lock while it updates rwlock


def clear_rwlock(root: Path) -> None:
    """Drop the entries of processes that are no longer DVC; delete the file if it is corrupt.

    Raises:
        OSError: the file cannot be written.
    """
    path = root / RWLOCK
    if not path.exists():
        return
    with (root / GUARD).open("a+") as guard:
        fcntl.flock(guard, fcntl.LOCK_EX)
        try:
            locks = json.loads(path.read_text())
            live = {
                "write": {
                    name: holder
                    for name, holder in locks.get("write", {}).items()
                    if _is_dvc(holder)
                },
                "read": {
                    name: holders
                    for name, readers in locks.get("read", {}).items()
                    if (holders := [reader for reader in readers if _is_dvc(reader)])
                },
            }
        except (ValueError, AttributeError, TypeError, KeyError):
            path.unlink()
            return
        if live != {"write": {}, "read": {}} | locks:
            path.write_text(json.dumps(live))


def _is_dvc(holder: dict[str, Any]) -> bool:
    """Whether the process in a lock entry is alive and still a DVC process."""
    try:
        command = psutil.Process(holder["pid"]).cmdline()
    except psutil.NoSuchProcess:
        return False
    except psutil.AccessDenied:
        return True
    # `/usr/bin/dvc repro`, `python -m dvc repro`, `python flows/dvc_process.py repro`
    return any("dvc" in Path(part).name for part in command)
