"""Exit statuses of stages and of the command line; docs/operations.md lists them."""

import signal
from enum import IntEnum


class ExitCode(IntEnum):
    """Exit status of a process, with its meaning as text."""

    DONE = 0, "done"
    FAILED = (
        1,
        "a bug in a stage; a run that failed; a challenger that `promote` refuses; a face that "
        "`--rebuild` generates differently; files that `verify` finds corrupt or missing; a "
        "dataset that `check` finds lacking",
    )
    BAD_INPUT = 2, "bad input, or a fault of the machine such as a full disk, named in one line"
    OUT_OF_MEMORY = 75, "out of memory: worth another attempt with a smaller batch"  # EX_TEMPFAIL
    HUNG_UP = 128 + signal.SIGHUP, "ended by SIGHUP"
    TERMINATED = 128 + signal.SIGTERM, "ended by SIGTERM"

    def __new__(cls, value: int, meaning: str) -> "ExitCode":
        member = int.__new__(cls, value)
        member._value_ = value
        member.meaning = meaning
        return member

    meaning: str
