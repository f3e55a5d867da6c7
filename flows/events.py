"""Events of the stages of a running flow, sent to listeners in this process."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

QUEUED, WAITING, RUNNING = "queued", "waiting for a device", "running"

Listener = Callable[[str, str, str], None]
"""Called with (stage, state, detail). State is WAITING, RUNNING or the name of a final Prefect
state; detail is the last line the stage printed, or the reason for the state. While a run waits for
another run, stage is empty, state is QUEUED and detail names the run that holds the project."""

_LISTENERS: list[Listener] = []
_NOTES: list[str] = []


@contextmanager
def subscribed(listener: Listener) -> Iterator[None]:
    """Call `listener` for every event inside the block, possibly from other threads."""
    _LISTENERS.append(listener)
    try:
        yield
    finally:
        _LISTENERS.remove(listener)


def emit(stage: str, state: str, detail: str = "") -> None:
    """Send an event to all listeners."""
    for listener in _LISTENERS:
        listener(stage, state, detail)


def add_note(line: str) -> None:
    """Add a line to print when the command ends, after all other output. Ignores empty lines."""
    if line:
        _NOTES.append(line)


def take_notes() -> list[str]:
    """Return the notes since the last call, without duplicates."""
    notes = list(dict.fromkeys(_NOTES))
    _NOTES.clear()
    return notes
