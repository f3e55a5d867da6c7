"""DVC's list of the paths that its processes read and write, ``.dvc/tmp/rwlock``.

DVC drops the entries of processes that are no more. It cannot tell when their numbers have been
given to other processes since, nor read a list that was cut short; then each command fails.
"""

import fcntl
import json
from pathlib import Path
from typing import Any

import psutil

RWLOCK = Path(".dvc/tmp/rwlock")
GUARD = Path(".dvc/tmp/rwlock.lock")  # DVC holds it for as long as it changes the list


def clear_rwlock(root: Path) -> None:
    """Drop what processes have left in the list that are no DVC, or the list if it is broken.

    Raises:
        OSError: it cannot be written.
    """
    path = root / RWLOCK
    if not path.exists():
        return
    with (root / GUARD).open("a+") as guard:
        fcntl.flock(guard, fcntl.LOCK_EX)
        try:
            held = json.loads(path.read_text())
            living = {
                "write": {name: who for name, who in held.get("write", {}).items() if _alive(who)},
                "read": {
                    name: alive
                    for name, readers in held.get("read", {}).items()
                    if (alive := [who for who in readers if _alive(who)])
                },
            }
        except (ValueError, AttributeError, TypeError, KeyError):
            path.unlink()
            return
        if living != {"write": {}, "read": {}} | held:
            path.write_text(json.dumps(living))


def _alive(who: dict[str, Any]) -> bool:
    """Whether a process is there and still the one that DVC noted."""
    try:
        command = psutil.Process(who["pid"]).cmdline()
    except psutil.NoSuchProcess:
        return False
    except psutil.AccessDenied:
        return True
    # `/usr/bin/dvc repro`, `python -m dvc repro`, `python flows/dvc_process.py repro`
    return any("dvc" in Path(part).name for part in command)
