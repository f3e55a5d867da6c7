"""DVC's command line, patched so that it is safe to kill at any time.

    python -P flows/dvc_process.py ARGUMENTS

DVC rewrites dvc.lock in place: killing it leaves half a file, and a concurrent reader may see half
a file. Here the file is replaced atomically. SIGTERM and SIGHUP interrupt DVC like Ctrl-C, so that
it releases its locks.

-P keeps this folder off sys.path, where flows/dvc.py would shadow the package `dvc`.
"""

import io
import os
import shutil
import signal
import sys
from pathlib import Path
from typing import Any

from dvc.cli import main
from dvc.utils.serialize import _common


def _replace(path: str, data: Any, dumper: Any, fs: Any = None, **options: Any) -> None:
    """Replaces DVC's `_dump_data`, which writes to `path` in place."""
    text = io.StringIO()
    dumper(data, text, **options)
    target = Path(path).resolve()  # a link's target is replaced, not the link
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("w", encoding="utf-8") as file:
            file.write(text.getvalue())
            file.flush()
            os.fsync(file.fileno())
        if target.exists():
            shutil.copymode(target, temporary)
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


if __name__ == "__main__":
    # Signals that are already ignored (nohup) stay ignored.
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler)
    _common._dump_data = _replace
    sys.exit(main())
