"""Train a generator in one or several subprocesses, and log its progress to MLflow."""

import json
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from flows import events
from flows.mlflow_runs import end_orphaned_runs, ended_run, log, open_run, revision_tags
from flows.mlflow_store import MLflowStore
from flows.outputs import flatten
from flows.supervisor import supervised
from tasks.provenance.git import read_revision
from tasks.shared.endings import raise_on_signals

if TYPE_CHECKING:
    from mlflow import MlflowClient

POLL_SECONDS = 10.0


def train_generator(
    root: Path, work: Path, out: Path, options: Mapping[str, object], processes: int
) -> int:
    """Run ``python -m tasks.generator``, under torchrun if `processes` is greater than one.

    Args:
        root: project folder.
        work, out: folders of the training, see tasks/generator.py.
        options: further command-line options, without dashes; None omits an option.
        processes: number of processes on this machine, one GPU each if there are GPUs.

    Returns:
        The exit status.
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
    command, popen_options = supervised(command)
    process = subprocess.Popen(command, cwd=root, **popen_options)
    status = "KILLED"
    try:
        while True:
            try:
                code = process.wait(POLL_SECONDS)
                break
            except subprocess.TimeoutExpired:
                tracker.update()
        status = "FAILED" if code else "FINISHED"
    finally:  # the training never outlives this process
        process.terminate()
        process.wait()
        tracker.close(status)
        events.add_note(tracker.failure)
    return code


class TrainingTracker:
    """Logs a generator training to MLflow from the files it writes (tasks/generator.py).

    The MLflow run of a resumed training includes the steps before the interruption.

    Args:
        root: project folder.
        work, out: folders of the training.
    """

    def __init__(self, root: Path, work: Path, out: Path) -> None:
        self.root, self.work, self.out = root, work, out
        self.revision = read_revision(root)
        self._store = MLflowStore(root)
        self._run = ""
        self._logged: set[object] = set()

    @property
    def failure(self) -> str:
        """What could not be logged to MLflow, and why, in one line; empty if all was logged."""
        return self._store.failure and f"training not fully logged to {self._store.failure}"

    def update(self) -> None:
        """Log params, metrics and sample grids written since the last call."""
        if (self.work / "begun.json").exists():  # written when the first step begins
            self._store.attempt(self._update)

    def close(self, status: str) -> None:
        """Log the remaining data and end the run; if FINISHED, also metrics and samples of OUT.

        Args:
            status: FINISHED, FAILED or KILLED.
        """
        self.update()
        if self._run:
            self._store.attempt(lambda client: self._close(client, status))

    def _update(self, client: "MlflowClient") -> None:
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
            except ValueError:  # the last line is still being written
                break
            phase, step = row.pop("phase"), row.pop("step")
            if (phase, step) not in self._logged:
                metrics = dict(flatten({phase: row}))
                log(client, self._run, metrics=metrics, milliseconds=now, step=step)
                self._logged.add((phase, step))
        for grid in sorted(set(self.work.glob("step-*.png")) - self._logged):
            client.log_artifact(self._run, str(grid), "grids")
            self._logged.add(grid)

    def _close(self, client: "MlflowClient", status: str) -> None:
        with ended_run(client, self._run, status):
            if status != "FINISHED":
                return
            metrics = dict(flatten(json.loads((self.out / "metrics.json").read_text())))
            log(client, self._run, metrics=metrics, milliseconds=int(time.time() * 1000))
            client.log_artifact(self._run, str(self.out / "samples.png"))
