"""Log flow runs to MLflow: one parent run per flow run, one nested run per stage that ran.

- A retried stage has one run per attempt; failed attempts carry the reason. Stages that were
  skipped as unchanged have no run, and a flow that ran no stage has no parent run.
- The parent run has the params of all sections, the outcome of each stage and, if the flow includes
  the evaluation, its headline figures, report and contact sheet. It is FINISHED, FAILED (with the
  first reason) or KILLED.
- The commit is the one checked out when the flow started.
- A run that could not be fully logged is FAILED and says why. A run left RUNNING by a killed
  process is set to KILLED by the next process on the same machine.
"""

import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flows import events, mlflow_names
from flows.mlflow_runs import (
    NOTE,
    REASON,
    end_orphaned_runs,
    ended_run,
    log,
    open_run,
    revision_tags,
)
from flows.mlflow_store import EXPERIMENT, MLflowStore
from flows.outputs import CONTACT_SHEET, REPORT, figures, headline, read_metrics
from tasks.provenance.dvc_files import locked_hashes, locked_params, locked_stages
from tasks.provenance.git import Revision, read_revision

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

_UP_TO_DATE = ("Completed", "Cached")
_PARAMS = "params"


class Tracker:
    """Logs the stages of one flow run. Imports MLflow and opens the store at the first stage.

    Args:
        root: project folder.
        name: name of the flow run.
        params: params of all sections, by dotted name.

    Attributes:
        revision: code revision when the flow started.
    """

    def __init__(self, root: Path, name: str, params: Mapping[str, object] | None = None) -> None:
        self.root = root
        self.name = name
        self.params = params or {}
        self.revision = read_revision(root)
        self.begin = time.time()
        self._store = MLflowStore(root)
        self._parent = ""
        self._missing: list[str] = []
        self._closed = False

    @property
    def parent(self) -> str:
        """Id of the parent run; empty before the first stage."""
        return self._parent

    @property
    def failure(self) -> str:
        """What could not be logged, and why, in one line; empty if everything was logged."""
        if not self._store.failure:
            return ""
        what = ", ".join(dict.fromkeys(self._missing)) if self._parent else "this run"
        return f"{what} not logged to {self._store.failure}"

    def log_stage(
        self, stage: str, begin: float, end: float, revision: Revision | None = None
    ) -> None:
        """Log params, metrics, figures, dvc.lock hashes and code revision of a stage that ran.

        Args:
            stage: name of the stage.
            begin, end: Unix time, seconds.
            revision: code revision when the stage started (default: when the flow started).
        """
        locked = locked_stages(self.root)[stage]

        def write(client: "MlflowClient", run: str) -> None:
            log(
                client,
                run,
                metrics=read_metrics(self.root, stage) | {"seconds": end - begin},
                params=locked_params(locked),
                tags=_hash_tags(locked),
                milliseconds=int(end * 1000),
            )
            client.log_inputs(run, list(_datasets(locked)))
            for path in figures(self.root, stage):
                client.log_artifact(run, str(path))

        tags = revision_tags(revision or self.revision)
        self._attempt(stage, begin, end, tags, "FINISHED", write)

    def log_failure(self, stage: str, begin: float, reason: str) -> None:
        """Log a failed stage or attempt.

        Args:
            stage: name of the stage.
            begin: Unix time, seconds.
            reason: why it failed, in one line.
        """
        end = time.time()

        def write(client: "MlflowClient", run: str) -> None:
            metrics = {"seconds": end - begin}
            log(client, run, metrics=metrics, milliseconds=int(end * 1000))

        tags = revision_tags(self.revision) | {REASON: reason, NOTE: reason}
        self._attempt(stage, begin, end, tags, "FAILED", write)

    def close(
        self, status: str = "FINISHED", states: Mapping[str, str] | None = None, reason: str = ""
    ) -> None:
        """End the parent run, if there is one. Later calls to any method have no effect.

        Args:
            status: FINISHED, FAILED or KILLED.
            states: outcome of each stage.
            reason: why the flow failed.
        """
        if self._closed:
            return
        self._closed = True
        if self._parent:
            parent = self._parent
            if _PARAMS in self._missing:
                status = "FAILED"

            def write(client: "MlflowClient") -> None:
                with ended_run(client, parent, status):
                    self._log_outcome(client, parent, states or {}, reason)

            self._write("the headline figures", write)

    def _log_outcome(
        self, client: "MlflowClient", run: str, states: Mapping[str, str], reason: str
    ) -> None:
        tags = {f"facsimile.stage.{stage}": state for stage, state in states.items()}
        if reason:
            tags |= {REASON: reason, NOTE: reason}
        log(client, run, tags=tags)
        if states.get("evaluate") not in _UP_TO_DATE:
            return  # its folder holds the results of an earlier run
        figures = headline(read_metrics(self.root, "evaluate"))
        log(client, run, metrics=figures, milliseconds=int(time.time() * 1000))
        for path in (self.root / REPORT, self.root / CONTACT_SHEET):
            if path.exists():
                client.log_artifact(run, str(path))

    def _attempt(
        self,
        stage: str,
        begin: float,
        end: float,
        tags: Mapping[str, str],
        status: str,
        write: Callable[["MlflowClient", str], None],
    ) -> None:
        """Create a run for a stage, nested in the run of the flow, write to it, and end it."""
        if self._closed:
            return  # the flow has ended

        def use(client: "MlflowClient") -> None:
            parent = self._open_parent(client)
            nested = {"mlflow.parentRunId": parent, **tags}
            run = open_run(client, self._store.experiment, stage, begin, nested)
            with ended_run(client, run, status, end):
                write(client, run)

        self._write(stage, use)

    def _open_parent(self, client: "MlflowClient") -> str:
        if not self._parent:
            experiment = self._store.experiment
            end_orphaned_runs(client, experiment)
            tags = revision_tags(self.revision)
            self._parent = open_run(client, experiment, self.name, self.begin, tags)
            parent = self._parent
            self._write(_PARAMS, lambda client: log(client, parent, params=self.params))
        return self._parent

    def _write(self, what: str, use: Callable[["MlflowClient"], None]) -> None:
        def report(client: "MlflowClient") -> bool:
            use(client)
            return True

        if not self._store.attempt(report):
            self._missing.append(what)


def find_run(root: Path, stage: str, locked: Mapping[str, Any]) -> "Run | None":
    """The newest MLflow run of a stage whose inputs and outputs match dvc.lock.

    None if there is no such run, or the store cannot be read.
    """
    store = _reader(root.resolve(), os.environ.get("MLFLOW_TRACKING_URI", ""))
    if not store.exists:
        return None
    tags = {mlflow_names.encode(name): value for name, value in _hash_tags(locked).items()}

    def search(client: "MlflowClient") -> "list[Run]":
        experiment = client.get_experiment_by_name(EXPERIMENT)
        if experiment is None:
            return []
        return client.search_runs(
            [experiment.experiment_id],
            f"attributes.run_name = '{stage}' and attributes.status = 'FINISHED'",
            order_by=["attributes.start_time DESC"],
        )

    runs = store.attempt(search)
    events.add_note(store.failure and f"cannot read runs from {store.failure}")
    return next((run for run in runs or () if tags.items() <= run.data.tags.items()), None)


@lru_cache
def _reader(root: Path, uri: str) -> MLflowStore:
    """Cached, so that a store that does not respond is tried only once."""
    return MLflowStore(root, reading=True)


def _hash_tags(locked: Mapping[str, Any]) -> dict[str, str]:
    return {
        f"dvc.{kind}.{path}": md5
        for kind in ("deps", "outs")
        for path, md5 in locked_hashes(locked, kind).items()
    }


def _datasets(locked: Mapping[str, Any]) -> Iterator[Any]:
    """Input data of a stage, with DVC hashes as digests.

    MLflow's own digest of a data frame ignores boolean columns and rows beyond 10,000.
    """
    from mlflow.entities import Dataset, DatasetInput

    for path, md5 in locked_hashes(locked, "deps").items():
        if path.startswith("data/"):
            yield DatasetInput(Dataset(path, md5, "local", json.dumps({"uri": path})))
