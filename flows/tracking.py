"""MLflow: one parent run for each flow run that ran something, one nested run for each such stage;
and one for each time that the training of a generator is started.

The store is ``mlflow.db`` with artifacts under ``mlruns/`` in the project folder, unless
MLFLOW_TRACKING_URI names another one.
"""

import json
import logging
import os
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flows.locked import locked_hashes, locked_params, locked_stages
from flows.outputs import figures, flatten, read_metrics

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

EXPERIMENT = "facsimile"
STORE = "mlflow.db"

# Tags that MLflow's own pages show as the source of a run.
COMMIT = "mlflow.source.git.commit"
DIRTY = "mlflow.source.git.dirty"


class Tracker:
    """Logs stages of one flow run. Nothing is opened, nor MLflow imported, before the first one."""

    def __init__(self, root: Path, name: str) -> None:
        self.root = root
        self.name = name
        self._lock = threading.Lock()  # stages finish side by side; the store is set up once
        self._client: MlflowClient | None = None
        self._parent = ""

    def log_stage(self, stage: str, begin: float, end: float) -> None:
        """Log params, metrics, figures, dvc.lock hashes and code revision of a stage that ran.

        Args:
            stage: its name.
            begin, end: Unix time, seconds.
        """
        from mlflow.entities import Metric, Param, RunTag
        from mlflow.exceptions import MlflowException

        locked = locked_stages(self.root)[stage]
        milliseconds = int(end * 1000)
        metrics = read_metrics(self.root, stage) | {"seconds": end - begin}
        params = locked_params(locked)
        tags = _hash_tags(locked) | _revision_tags(self.root)
        try:
            with self._lock:
                client = self._open()
                run = client.create_run(
                    self._experiment,
                    start_time=int(begin * 1000),
                    run_name=stage,
                    tags={"mlflow.parentRunId": self._parent},
                ).info.run_id
                client.log_batch(
                    run,
                    metrics=[Metric(key, value, milliseconds, 0) for key, value in metrics.items()],
                    params=[Param(key, str(value)) for key, value in params.items()],
                    tags=[RunTag(key, value) for key, value in tags.items()],
                )
                client.log_inputs(run, list(_datasets(locked)))
                for path in figures(self.root, stage):
                    client.log_artifact(run, str(path))
                client.set_terminated(run, end_time=milliseconds)
        except MlflowException as error:
            # A notebook that cannot be written to is no reason to throw the stage's work away.
            logging.getLogger(__name__).warning("%s is not in MLflow: %s", stage, error)

    def close(self) -> None:
        """End the parent run, if there is one."""
        if self._client:
            self._client.set_terminated(self._parent)

    def _open(self) -> "MlflowClient":
        """The client; the first call creates experiment and parent run."""
        if self._client is None:
            client = _client(self.root)
            self._experiment = _experiment(client, self.root)
            self._parent = client.create_run(self._experiment, run_name=self.name).info.run_id
            self._client = client
        return self._client


class TrainingTracker:
    """Follows a training of the generator by what it leaves in WORK and OUT (tasks/generator.py).

    The run of a training that was resumed holds what came before, too.

    Args:
        root: project folder.
        work, out: folders of the training.
    """

    def __init__(self, root: Path, work: Path, out: Path) -> None:
        self.root, self.work, self.out = root, work, out
        self._client: MlflowClient | None = None
        self._run = ""
        self._seen: set[object] = set()
        self._broken = False

    def look(self) -> None:
        """Log params, figures by step and sample grids that are new since the last look."""
        self._attempt(self._look)

    def close(self, status: str) -> None:
        """Look once more and end the run; metrics and samples of OUT are those of a FINISHED one.

        Args:
            status: FINISHED, FAILED or KILLED.
        """
        self._attempt(self._look)
        if self._client:
            self._attempt(lambda: self._close(status))

    def _attempt(self, log: Callable[[], None]) -> None:
        from mlflow.exceptions import MlflowException

        if self._broken:
            return
        try:
            log()
        except MlflowException as error:
            # A notebook that cannot be written to is no reason to end a training.
            logging.getLogger(__name__).warning("the training is not in MLflow: %s", error)
            self._broken = True

    def _look(self) -> None:
        from mlflow.entities import Metric, Param

        params = self.work / "begun.json"
        if not params.exists():
            return  # nothing but preparations yet
        if self._client is None:
            client = _client(self.root)
            experiment, tags = _experiment(client, self.root), _revision_tags(self.root)
            run = client.create_run(experiment, run_name="generator", tags=tags)
            self._client, self._run = client, run.info.run_id
            values = json.loads(params.read_text())
            client.log_batch(
                self._run, params=[Param(key, str(value)) for key, value in values.items()]
            )
        stats = self.work / "stats.jsonl"
        now = int(time.time() * 1000)
        for line in stats.read_text().splitlines() if stats.exists() else ():
            row = json.loads(line)
            phase, step = row.pop("phase"), row.pop("step")
            if (phase, step) not in self._seen:
                metrics = [Metric(f"{phase}.{key}", row[key], now, step) for key in row]
                self._client.log_batch(self._run, metrics=metrics)
                self._seen.add((phase, step))
        for grid in sorted(set(self.work.glob("step-*.png")) - self._seen):
            self._client.log_artifact(self._run, str(grid), "grids")
            self._seen.add(grid)

    def _close(self, status: str) -> None:
        from mlflow.entities import Metric

        if status == "FINISHED":
            now = int(time.time() * 1000)
            values = flatten(json.loads((self.out / "metrics.json").read_text()))
            metrics = [Metric(key, value, now, 0) for key, value in values]
            self._client.log_batch(self._run, metrics=metrics)
            self._client.log_artifact(self._run, str(self.out / "samples.png"))
        self._client.set_terminated(self._run, status)


def find_run(root: Path, stage: str, locked: Mapping[str, Any]) -> "Run | None":
    """The newest MLflow run of a stage that read and wrote what dvc.lock records of it.

    None if there is none, or no store that can be read.
    """
    if "MLFLOW_TRACKING_URI" not in os.environ and not (root / STORE).exists():
        return None  # asking would create one
    from mlflow.exceptions import MlflowException

    tags = _hash_tags(locked)
    try:
        client = _client(root)
        experiment = client.get_experiment_by_name(EXPERIMENT)
        if experiment is None:
            return None
        runs = client.search_runs(
            [experiment.experiment_id],
            f"attributes.run_name = '{stage}'",
            order_by=["attributes.start_time DESC"],
        )
    except MlflowException as error:
        logging.getLogger(__name__).warning("MLflow cannot be read: %s", error)
        return None
    return next((run for run in runs if tags.items() <= run.data.tags.items()), None)


def revision(run: "Run") -> str:
    """Git commit of the code of a run, with a word if it had changes; empty if it is not known."""
    commit = run.data.tags.get(COMMIT, "")
    changed = run.data.tags.get(DIRTY) == "True"
    return f"{commit}, with uncommitted changes" if commit and changed else commit


def _client(root: Path) -> "MlflowClient":
    from mlflow import MlflowClient

    # The first use creates the tables, and says so table by table.
    logging.getLogger("alembic").setLevel(logging.WARNING)
    return MlflowClient(os.environ.get("MLFLOW_TRACKING_URI", f"sqlite:///{root / STORE}"))


def _experiment(client: "MlflowClient", root: Path) -> str:
    """Id of the experiment; the first call creates it."""
    experiment = client.get_experiment_by_name(EXPERIMENT)
    if experiment:
        return experiment.experiment_id
    if "MLFLOW_TRACKING_URI" in os.environ:
        return client.create_experiment(EXPERIMENT)
    return client.create_experiment(EXPERIMENT, (root / "mlruns").as_uri())


def _hash_tags(locked: Mapping[str, Any]) -> dict[str, str]:
    return {
        f"dvc.{kind}.{path}": md5
        for kind in ("deps", "outs")
        for path, md5 in locked_hashes(locked, kind).items()
    }


def _revision_tags(root: Path) -> dict[str, str]:
    """Commit checked out in a project folder; none where it is not under git."""
    commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=root, capture_output=True, text=True)
    if commit.returncode:
        return {}
    status = ["git", "status", "--porcelain", "--untracked-files=no"]
    changes = subprocess.run(status, cwd=root, capture_output=True, text=True)
    return {COMMIT: commit.stdout.strip(), DIRTY: str(bool(changes.stdout))}


def _datasets(locked: Mapping[str, Any]) -> Iterator[Any]:
    """The data a stage read, each with its DVC hash as digest.

    MLflow's own digest of a data frame skips boolean columns and rows beyond 10,000.
    """
    from mlflow.entities import Dataset, DatasetInput

    for entry in locked.get("deps", []):
        if entry["path"].startswith("data/"):
            source = f'{{"uri": "{entry["path"]}"}}'
            yield DatasetInput(Dataset(entry["path"], entry["md5"], "local", source))
