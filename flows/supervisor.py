"""A process that ends with the one that started it, whatever ends that one.

`supervised` has a command run under this file as a tiny process of its own, which sees a pipe close
when its parent is gone, even by kill -9, and then ends the command with all that it has started.
The pipe works on Linux and macOS. PR_SET_PDEATHSIG alone would not do: there is none on macOS, and
it fires when the thread that started the process ends.

Only the standard library is imported here, and little of it: the supervisor starts in 50 ms.
"""

import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

GRACE = 3.0  # seconds between SIGTERM and SIGKILL

_ENDING = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)
_SECONDS_BETWEEN_LOOKS = 0.02
_PR_SET_PDEATHSIG = 1
_NOT_STARTED = 127  # as shells have it


def supervised(command: Sequence[str]) -> tuple[list[str], dict[str, Any]]:
    """What to give to `subprocess.Popen` so that `command` ends with this process.

    The process that Popen then returns is the supervisor. Its exit status is that of the command, a
    signal included. On SIGTERM, SIGHUP or SIGINT it ends the command's process group: by SIGTERM,
    and after `GRACE` seconds by SIGKILL. It does the same when this process has ended, and with
    what the command leaves running in its group. Do not end it by SIGKILL: it could not pass that
    on, except on Linux to the command itself.

    Returns:
        Arguments and options for Popen; ``start_new_session`` and ``pass_fds`` are among them.
    """
    lifeline = _lifeline()
    argv = [sys.executable, "-I", "-S", __file__, str(lifeline), *command]
    return argv, {"pass_fds": (lifeline,), "start_new_session": True}


@cache
def _lifeline() -> int:
    """The end to read from of a pipe whose other end is open in this process alone."""
    # Neither end is inherited by what is started here, unless it is passed on by name.
    read, _write = os.pipe()
    return read


def _supervise(lifeline: int, command: list[str]) -> int:
    """Run `command` until it ends, this process is signalled or the lifeline closes.

    Returns:
        Its exit status, negative for the signal that ended it.
    """
    wake, woken = os.pipe()
    os.set_blocking(woken, False)
    signal.set_wakeup_fd(woken, warn_on_full_buffer=False)
    for number in (*_ENDING, signal.SIGCHLD):
        # What is ignored (nohup) stays ignored, here and in the command.
        if number == signal.SIGCHLD or signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, lambda *_: None)
    try:
        process = subprocess.Popen(command, process_group=0, preexec_fn=_die_with_supervisor())
    except OSError as error:
        print(f"{command[0]}: {error.strerror}", file=sys.stderr)
        return _NOT_STARTED
    while process.poll() is None:
        ready, _, _ = select.select([lifeline, wake], [], [])
        if lifeline in ready or set(os.read(wake, 64)) & set(_ENDING):
            break
    _end(process)
    return process.wait()


def _die_with_supervisor() -> Callable[[], None] | None:
    if sys.platform != "linux":
        return None
    import ctypes

    prctl = ctypes.CDLL(None).prctl
    return lambda: prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _end(process: subprocess.Popen) -> None:
    """End what is left of a process group, of which `process` is or was the leader."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        _reaches(process.pid, number)
        deadline = time.monotonic() + GRACE
        while _reaches(process.pid, 0) and time.monotonic() < deadline:
            process.poll()  # a process that has ended stays in its group until it is waited for
            time.sleep(_SECONDS_BETWEEN_LOOKS)


def _reaches(group: int, number: int) -> bool:
    """Send a signal to a process group, 0 being none; whether there is anyone in it."""
    try:
        os.killpg(group, number)
    except (ProcessLookupError, PermissionError):  # macOS: only processes that have ended are left
        return False
    return True


def _exit(code: int) -> None:
    """End as the command did."""
    if code < 0:
        if -code not in (signal.SIGKILL, signal.SIGSTOP):
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    sys.exit(code)


if __name__ == "__main__":
    _exit(_supervise(int(sys.argv[1]), sys.argv[2:]))
