"""Training of a generator: a process of its own, or several, followed into MLflow meanwhile."""

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from flows.supervisor import supervised
from flows.tracking import TrainingTracker
from tasks.endings import raise_on_signals

SECONDS_BETWEEN_LOOKS = 10.0


def train_generator(
    root: Path, work: Path, out: Path, options: Mapping[str, object], processes: int
) -> int:
    """Run ``python -m tasks.generator``, under torchrun where there are several processes.

    Args:
        root: project folder.
        work, out: folders of the training, see tasks/generator.py.
        options: further options of its command line, without dashes; None: not given.
        processes: on this machine, a GPU each where there are any.

    Returns:
        Its exit status.
    """
    command = [sys.executable, "-m"]
    if processes > 1:
        command += ["torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
        command += ["-m"]
    command += ["tasks.generator"]
    for name, value in {"work": work, "out": out, **options}.items():
        command += [] if value is None else [f"--{name}", str(value)]
    raise_on_signals()
    tracker = TrainingTracker(root, work, out)
    command, ends_with_us = supervised(command)
    process = subprocess.Popen(command, cwd=root, **ends_with_us)
    status = "KILLED"
    try:
        while True:
            try:
                code = process.wait(SECONDS_BETWEEN_LOOKS)
                break
            except subprocess.TimeoutExpired:
                tracker.look()
        status = "FAILED" if code else "FINISHED"
    finally:  # whatever ends this ends the training
        process.terminate()
        process.wait()
        tracker.close(status)
    return code
