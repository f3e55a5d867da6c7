"""Waiting for other processes, and finding those that are left."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import psutil


def ran(root: Path) -> list[str]:
    """Names that stages of a project wrote to ``./log``, in order."""
    log = root / "log"
    return log.read_text().split() if log.exists() else []


def wait_for(condition: Callable[[], bool], seconds: float = 60) -> None:
    """Return once another process has made a condition true; fail after some seconds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not true within {seconds} s"
        time.sleep(0.02)


def left_after(seconds: float, mark: str) -> list[str]:
    """Commands of other processes with `mark` in their environment that still run after a while.

    Zombies do not count.
    """

    def left() -> list[str]:
        commands = []
        for process in _marked(mark):
            with suppress(psutil.Error):
                commands.append(" ".join(process.cmdline()))
        return commands

    with suppress(AssertionError):
        wait_for(lambda: not left(), seconds)
    return left()


def kill_everything(mark: str) -> None:
    """Kill all other processes with `mark` in their environment, as when the machine goes down."""
    for process in _marked(mark):
        with suppress(psutil.Error):
            process.kill()


def _marked(mark: str) -> Iterator[psutil.Process]:
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if (
                process.pid != os.getpid()
                and process.status() != psutil.STATUS_ZOMBIE
                and mark in process.environ().values()
            ):
                yield process
