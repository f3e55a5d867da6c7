"""How processes end that write files: by a signal, leaving nothing; killed outright, the next
one clears up."""

import multiprocessing
import os
import re
import shutil
import signal
import sys
from pathlib import Path
from types import FrameType

_SIGNALS = (signal.SIGTERM, signal.SIGHUP)
# As facsimile.faces.tables and flows name what they are writing, by the process that does.
_TEMPORARY = re.compile(r"\..+\.(\d+)(\.replaced)?\.tmp")


def raise_on_signals() -> None:
    """Have SIGTERM and SIGHUP raise SystemExit, so that temporary files go as they do by Ctrl-C."""
    for number in _SIGNALS:
        if signal.getsignal(number) != signal.SIG_IGN:  # what is ignored (nohup) stays so
            signal.signal(number, _raise)


def _raise(number: int, _frame: FrameType | None) -> None:
    for other in _SIGNALS:
        signal.signal(other, signal.SIG_IGN)  # another one must not disturb the clearing up
    # Whoever has started worker processes waits for them on the way out.
    for worker in multiprocessing.active_children():
        worker.terminate()
    sys.exit(128 + number)


def remove_leftovers(folder: Path) -> None:
    """Remove temporary files and folders in `folder` whose processes are no more."""
    for path in folder.glob(".*.tmp"):
        named = _TEMPORARY.fullmatch(path.name)
        if not named or _exists(int(named[1])):
            continue
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (OverflowError, PermissionError):
        pass
    return True
