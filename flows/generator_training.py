"""Training of a generator: a process of its own, or several, followed into MLflow meanwhile."""

import json
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from flows import events
from flows.mlflow_runs import end_orphaned_runs, ending, log, open_run, revision_tags
from flows.mlflow_store import MLflowStore
from flows.outputs import flatten
from flows.supervisor import supervised
from tasks.provenance.git import read_revision
from tasks.shared.endings import raise_on_signals

if TYPE_CHECKING:
    from mlflow import MlflowClient

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
        events.add_note(tracker.failure)
    return code


class TrainingTracker:
    """Follows a training of the generator by what it leaves in WORK and OUT (tasks/generator.py).

    The run of a training that was resumed holds what came before, too.

    Args:
        root: project folder.
        work, out: folders of the training.
    """

    def __init__(self, root: Path, work: Path, out: Path) -> None:
        self.root, self.work, self.out = root, work, out
        self.revision = read_revision(root)
        self._store = MLflowStore(root)
        self._run = ""
        self._seen: set[object] = set()

    @property
    def failure(self) -> str:
        """What is not in MLflow and why, in one line; empty if all is."""
        return self._store.failure and f"the training is not all in {self._store.failure}"

    def look(self) -> None:
        """Log params, figures by step and sample grids that are new since the last look."""
        if (self.work / "begun.json").exists():  # else there is nothing but preparations yet
            self._store.attempt(self._look)

    def close(self, status: str) -> None:
        """Look once more and end the run; metrics and samples of OUT are those of a FINISHED one.

        Args:
            status: FINISHED, FAILED or KILLED.
        """
        self.look()
        if self._run:
            self._store.attempt(lambda client: self._close(client, status))

    def _look(self, client: "MlflowClient") -> None:
        if not self._run:
            experiment = self._store.experiment
            end_orphaned_runs(client, experiment)
            tags = revision_tags(self.revision)
            self._run = open_run(client, experiment, "generator", time.time(), tags)
            log(client, self._run, params=json.loads((self.work / "begun.json").read_text()))
        stats = self.work / "stats.jsonl"
        now = int(time.time() * 1000)
        for line in stats.read_text().splitlines() if stats.exists() else ():
            try:
                row = json.loads(line)
            except ValueError:  # it is just being written
                break
            phase, step = row.pop("phase"), row.pop("step")
            if (phase, step) not in self._seen:
                metrics = dict(flatten({phase: row}))
                log(client, self._run, metrics=metrics, milliseconds=now, step=step)
                self._seen.add((phase, step))
        for grid in sorted(set(self.work.glob("step-*.png")) - self._seen):
            client.log_artifact(self._run, str(grid), "grids")
            self._seen.add(grid)

    def _close(self, client: "MlflowClient", status: str) -> None:
        with ending(client, self._run, status):
            if status != "FINISHED":
                return
            metrics = dict(flatten(json.loads((self.out / "metrics.json").read_text())))
            log(client, self._run, metrics=metrics, milliseconds=int(time.time() * 1000))
            client.log_artifact(self._run, str(self.out / "samples.png"))
