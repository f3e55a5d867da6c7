"""Identity of a process, to find out later, from another process, whether it still runs.

It consists of host, process id and start time, because process ids are reused.
"""

import os
import platform

import psutil

_SAME_START = 10.0  # seconds by which the start time may appear to differ


def this_process() -> str:
    """Identity of this process."""
    return f"{platform.node()} {os.getpid()} {psutil.Process().create_time():.0f}"


def has_ended(process: str) -> bool:
    """Whether a process ran on this host and has ended. False if it cannot be known from here.

    Args:
        process: what `this_process` returned in that process.
    """
    try:
        host, pid, started = process.rsplit(" ", 2)
    except ValueError:
        return False
    if host != platform.node():
        return False
    try:
        return abs(psutil.Process(int(pid)).create_time() - float(started)) >= _SAME_START
    except psutil.NoSuchProcess:
        return True
    except psutil.Error:  # it exists, but belongs to another user
        return False
