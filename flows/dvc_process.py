"""DVC's command line as flows run it: a process that may be ended at any time.

    python -P flows/dvc_process.py ARGUMENTS

DVC alone rewrites dvc.lock in place: who ends it meanwhile leaves half a file, and who reads it
meanwhile sees half of one. Here the file is replaced as a whole. SIGTERM and SIGHUP end DVC as
Ctrl-C does, so that it lets go of its locks.

-P, because modules beside this file have the names of others, `dvc` above all.
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
    """Stands for DVC's function of the same parameters, which opens `path` and dumps into it."""
    text = io.StringIO()
    dumper(data, text, **options)
    target = Path(path).resolve()  # what a link points to, not the link
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
    # What is ignored (nohup) stays ignored.
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler)
    _common._dump_data = _replace
    sys.exit(main())
