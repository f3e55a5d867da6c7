"""Run a command that ends with the process that started it, even if that process is killed.

`supervised` wraps a command in this file, run as a small supervisor process. The supervisor sees a
pipe close when its parent is gone, even by kill -9, and then ends the command's process group. The
pipe works on Linux and macOS. PR_SET_PDEATHSIG alone is not enough: macOS lacks it, and it fires
when the thread that started the process ends.

Imports only a small part of the standard library, so the supervisor starts in 50 ms.
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
_POLL_SECONDS = 0.02
_PR_SET_PDEATHSIG = 1
_NOT_STARTED = 127  # as in shells


def supervised(command: Sequence[str]) -> tuple[list[str], dict[str, Any]]:
    """Arguments for `subprocess.Popen` that make `command` end with this process.

    The process returned by Popen is the supervisor. Its exit status is that of the command,
    including a signal. On SIGTERM, SIGHUP or SIGINT, or when this process has ended, it ends the
    command's process group: by SIGTERM and, after `GRACE` seconds, by SIGKILL. It also ends
    processes that the command leaves running in its group. Do not send it SIGKILL, which it cannot
    pass on (on Linux, the command itself still ends).

    Returns:
        The arguments and options for Popen; the options include ``start_new_session`` and
        ``pass_fds``.
    """
    lifeline = _lifeline()
    argv = [sys.executable, "-I", "-S", __file__, str(lifeline), *command]
    return argv, {"pass_fds": (lifeline,), "start_new_session": True}


@cache
def _lifeline() -> int:
    """Read end of a pipe whose write end is open only in this process."""
    # Child processes inherit neither end unless it is passed explicitly.
    read, _write = os.pipe()
    return read


def _supervise(lifeline: int, command: list[str]) -> int:
    """Run `command` until it ends, this process is signalled or the lifeline closes.

    Returns:
        The exit status, negative if the command was ended by a signal.
    """
    wake, woken = os.pipe()
    os.set_blocking(woken, False)
    signal.set_wakeup_fd(woken, warn_on_full_buffer=False)
    for number in (*_ENDING, signal.SIGCHLD):
        # Signals that are already ignored (nohup) stay ignored, here and in the command.
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
    """End the remaining processes of the group that `process` leads or led."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        _signal_group(process.pid, number)
        deadline = time.monotonic() + GRACE
        while _signal_group(process.pid, 0) and time.monotonic() < deadline:
            process.poll()  # reap it: a zombie still counts as a member of the group
            time.sleep(_POLL_SECONDS)


def _signal_group(group: int, number: int) -> bool:
    """Send a signal (0: none) to a process group. Returns whether the group has any process."""
    try:
        os.killpg(group, number)
    except (ProcessLookupError, PermissionError):  # macOS: PermissionError if only zombies are left
        return False
    return True


def _exit(code: int) -> None:
    """Exit with the command's status, or by the same signal."""
    if code < 0:
        if -code not in (signal.SIGKILL, signal.SIGSTOP):
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    sys.exit(code)


if __name__ == "__main__":
    _exit(_supervise(int(sys.argv[1]), sys.argv[2:]))
