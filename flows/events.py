"""What happens to stages while a flow runs, told to whoever listens in this process."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

QUEUED, WAITING, RUNNING = "queued", "waiting for a device", "running"

Listener = Callable[[str, str, str], None]
"""(stage, state, detail): state is WAITING, RUNNING or the name of a final Prefect state; the
detail is the last line that the stage printed, or the reason of the state. While a run waits for
another one, stage is empty, state QUEUED and the detail who holds the project."""

_LISTENERS: list[Listener] = []
_NOTES: list[str] = []


@contextmanager
def subscribed(listener: Listener) -> Iterator[None]:
    """Have `listener` called, from any thread, for as long as the block lasts."""
    _LISTENERS.append(listener)
    try:
        yield
    finally:
        _LISTENERS.remove(listener)


def emit(stage: str, state: str, detail: str = "") -> None:
    """Tell all listeners."""
    for listener in _LISTENERS:
        listener(stage, state, detail)


def add_note(line: str) -> None:
    """Have a line told when the command has ended, below all else; an empty one is none."""
    if line:
        _NOTES.append(line)


def take_notes() -> list[str]:
    """The notes since the last time, each once."""
    notes = list(dict.fromkeys(_NOTES))
    _NOTES.clear()
    return notes
