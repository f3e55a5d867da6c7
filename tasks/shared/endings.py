"""Clean up temporary files, on a signal, or in the next process after a SIGKILL."""

import multiprocessing
import os
import re
import shutil
import signal
import sys
from pathlib import Path
from types import FrameType

_SIGNALS = (signal.SIGTERM, signal.SIGHUP)
# Temporary names as facsimile.files and flows write them; the number is the process id.
_TEMPORARY = re.compile(r"\..+\.(\d+)(\.replaced)?\.tmp")


def raise_on_signals() -> None:
    """Make SIGTERM and SIGHUP raise SystemExit, so temporary files are removed as on Ctrl-C."""
    for number in _SIGNALS:
        if signal.getsignal(number) != signal.SIG_IGN:  # ignored signals (nohup) stay ignored
            signal.signal(number, _raise)


def _raise(number: int, _frame: FrameType | None) -> None:
    for other in _SIGNALS:
        signal.signal(other, signal.SIG_IGN)  # do not interrupt the cleanup
    # Pools of worker processes wait for their workers on exit.
    for worker in multiprocessing.active_children():
        worker.terminate()
    sys.exit(128 + number)


def remove_leftovers(folder: Path) -> None:
    """Remove temporary files and folders in `folder` whose processes no longer exist."""
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
