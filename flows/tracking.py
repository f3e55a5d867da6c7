"""MLflow: one parent run for each flow run that ran something, one nested run for each such stage.

The store is ``mlflow.db`` with artifacts under ``mlruns/`` in the project folder, unless
MLFLOW_TRACKING_URI names another one.
"""

import logging
import os
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flows import dvc
from flows.outputs import figures, read_metrics

if TYPE_CHECKING:
    from mlflow import MlflowClient

EXPERIMENT = "facsimile"


class Tracker:
    """Logs stages of one flow run. Nothing is opened, nor MLflow imported, before the first one."""

    def __init__(self, root: Path, name: str) -> None:
        self.root = root
        self.name = name
        self._lock = threading.Lock()  # stages finish side by side; the store is set up once
        self._client: MlflowClient | None = None
        self._parent = ""

    def log_stage(self, stage: str, begin: float, end: float) -> None:
        """Log params, metrics, figures and the dvc.lock hashes of a stage that ran.

        Args:
            stage: its name.
            begin, end: Unix time, seconds.
        """
        from mlflow.entities import Metric, Param, RunTag
        from mlflow.exceptions import MlflowException

        locked = dvc.locked_stage(self.root, stage)
        milliseconds = int(end * 1000)
        metrics = read_metrics(self.root, stage) | {"seconds": end - begin}
        params = {
            key: value
            for group in locked.get("params", {}).values()
            for key, value in _leaves(group)
        }
        tags = {
            f"dvc.{kind}.{entry['path']}": entry["md5"]
            for kind in ("deps", "outs")
            for entry in locked.get(kind, [])
        }
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
            from mlflow import MlflowClient

            # The first use creates the tables, and says so table by table.
            logging.getLogger("alembic").setLevel(logging.WARNING)
            local = f"sqlite:///{self.root / 'mlflow.db'}"
            client = MlflowClient(os.environ.get("MLFLOW_TRACKING_URI", local))
            experiment = client.get_experiment_by_name(EXPERIMENT)
            if experiment:
                self._experiment = experiment.experiment_id
            elif "MLFLOW_TRACKING_URI" in os.environ:
                self._experiment = client.create_experiment(EXPERIMENT)
            else:
                artifacts = (self.root / "mlruns").as_uri()
                self._experiment = client.create_experiment(EXPERIMENT, artifacts)
            self._parent = client.create_run(self._experiment, run_name=self.name).info.run_id
            self._client = client
        return self._client


def _leaves(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Values of nested mappings by dotted name."""
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _datasets(locked: Mapping[str, Any]) -> Iterator[Any]:
    """The data a stage read, each with its DVC hash as digest.

    MLflow's own digest of a data frame skips boolean columns and rows beyond 10,000.
    """
    from mlflow.entities import Dataset, DatasetInput

    for entry in locked.get("deps", []):
        if entry["path"].startswith("data/"):
            source = f'{{"uri": "{entry["path"]}"}}'
            yield DatasetInput(Dataset(entry["path"], entry["md5"], "local", source))
