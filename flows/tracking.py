"""Log flow runs to MLflow: one parent run per flow run, one nested run per stage that ran.

- A retried stage has one run per attempt; failed attempts carry the reason. Stages that were
  skipped as unchanged have no run, and a flow that ran no stage has no parent run.
- The parent run has the params of all sections, the outcome of each stage and, if the flow includes
  the evaluation, its headline figures, report and contact sheet. It is FINISHED, FAILED (with the
  first reason) or KILLED.
- The commit is the one checked out when the flow started.
- What cannot be logged, because the store does not respond or its disk is full, is kept in the
  project and delivered by the next run that reaches the store, or by `sync`.
- A run left RUNNING by a killed process is set to KILLED by the next process on the same machine.
"""

import os
import threading
import time
import uuid
from collections.abc import Mapping
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from facsimile.errors import FacsimileError
from flows import events, mlflow_names
from flows.mlflow_records import FlowRecord, RunRecord, deliver, deliver_kept, keep, kept, open_flow
from flows.mlflow_runs import NOTE, REASON, end_orphaned_runs, revision_tags
from flows.mlflow_store import EXPERIMENT, STORE, MLflowStore
from flows.outputs import CONTACT_SHEET, REPORT, figures, headline, read_metrics
from tasks.provenance.dvc_files import locked_hashes, locked_params, locked_stages
from tasks.provenance.git import Revision, read_revision

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

_UP_TO_DATE = ("Completed", "Cached")


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
        self.revision = read_revision(root)
        self._flow = FlowRecord(uuid.uuid4().hex, name, time.time(), revision_tags(self.revision))
        self._params = params or {}
        self._store = MLflowStore(root)
        self._parent = ""
        self._opened = False
        self._missing: list[str] = []
        self._closed = False
        self._lock = threading.Lock()

    @property
    def parent(self) -> str:
        """Id of the parent run; empty before the first stage."""
        return self._parent

    @property
    def page(self) -> str:
        """Address of the run, or its id and the command that shows it; empty without a run."""
        uri = self._store.uri
        if not self._parent:
            return ""
        if uri.startswith("http"):
            return f"{uri}/#/experiments/{self._store.experiment}/runs/{self._parent}"
        return f"run {self._parent}; `mlflow ui --backend-store-uri sqlite:///{STORE}` shows it"

    @property
    def failure(self) -> str:
        """What could not be logged, and why, in one line; empty if everything was logged."""
        if not self._store.failure:
            return ""
        what = ", ".join(dict.fromkeys(self._missing)) if self._parent else "this run"
        where = self._store.failure
        return (
            f"{what or 'an earlier run'} not logged to {where}; the next run logs it, or "
            "`facsimile sync-mlflow`"
        )

    def log_stage(
        self,
        stage: str,
        begin: float,
        end: float,
        revision: Revision | None = None,
        usage: Mapping[str, float] | None = None,
    ) -> None:
        """Log params, metrics, figures, dvc.lock hashes and code revision of a stage that ran.

        Args:
            stage: name of the stage.
            begin, end: Unix time, seconds.
            revision: code revision when the stage started (default: when the flow started).
            usage: further metrics, of the resources it used.
        """
        locked = locked_stages(self.root)[stage]
        self._log(
            stage,
            begin,
            end,
            "FINISHED",
            metrics=read_metrics(self.root, stage) | (usage or {}) | {"seconds": end - begin},
            params=locked_params(locked),
            tags=revision_tags(revision or self.revision) | _hash_tags(locked),
            inputs=input_data(locked),
            artifacts=tuple(map(str, figures(self.root, stage))),
        )

    def log_failure(self, stage: str, begin: float, reason: str) -> None:
        """Log a failed stage or attempt.

        Args:
            stage: name of the stage.
            begin: Unix time, seconds.
            reason: why it failed, in one line.
        """
        end = time.time()
        tags = revision_tags(self.revision) | {REASON: reason, NOTE: reason}
        self._log(stage, begin, end, "FAILED", metrics={"seconds": end - begin}, tags=tags)

    def close(
        self, status: str = "FINISHED", states: Mapping[str, str] | None = None, reason: str = ""
    ) -> None:
        """End the parent run, if there is one. Later calls to any method have no effect.

        Args:
            status: FINISHED, FAILED or KILLED.
            states: outcome of each stage.
            reason: why the flow failed.
        """
        if not self._opened:
            self._closed = True
            return
        tags = {f"facsimile.stage.{stage}": state for stage, state in (states or {}).items()}
        if reason:
            tags |= {REASON: reason, NOTE: reason}
        metrics, artifacts = {}, []
        # Otherwise its folder holds the results of an earlier run.
        if (states or {}).get("evaluate") in _UP_TO_DATE:
            metrics = headline(read_metrics(self.root, "evaluate"))
            artifacts = [self.root / REPORT, self.root / CONTACT_SHEET]
        self._log(
            "",
            self._flow.begin,
            time.time(),
            status,
            metrics=metrics,
            tags=tags,
            artifacts=tuple(str(path) for path in artifacts if path.exists()),
        )
        self._closed = True

    def _log(self, name: str, begin: float, end: float, status: str, **values: Any) -> None:
        """Deliver a record of a nested run, or of the run of the flow if `name` is empty."""
        with self._lock:  # stages log from several threads
            if self._closed:
                return
            if not self._opened:
                self._opened = True
                self._store.attempt(self._deliver_earlier)
                self._send("params", self._record("", begin, begin, "", params=self._params))
            self._send(name or "the outcome", self._record(name, begin, end, status, **values))

    def _record(self, *run: Any, **values: Any) -> RunRecord:
        return RunRecord(uuid.uuid4().hex, self._flow, *run, **values)

    def _send(self, what: str, record: RunRecord) -> None:
        """Deliver a record, or keep it for later."""

        def use(client: "MlflowClient") -> bool:
            if not self._parent:
                self._parent = open_flow(client, self._store.experiment, self._flow)
            deliver(client, self._store.experiment, record, self._parent)
            return True

        if not self._store.attempt(use):
            self._missing.append(what)
            with suppress(OSError, FacsimileError):  # the disk may be full
                keep(self.root, record)

    def _deliver_earlier(self, client: "MlflowClient") -> None:
        end_orphaned_runs(client, self._store.experiment)
        deliver_kept(self.root, client, self._store.experiment)


def sync(root: Path) -> tuple[int, str]:
    """Log what earlier runs could not log.

    Returns:
        Number of records that were logged, and why others were not (empty if all were).
    """
    store = MLflowStore(root)
    before = len(list(kept(root)))
    if before:
        store.attempt(lambda client: deliver_kept(root, client, store.experiment))
    return before - len(list(kept(root))), store.failure


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


def input_data(locked: Mapping[str, Any]) -> dict[str, str]:
    """Path → MD5 of the data that a stage read.

    Args:
        locked: what dvc.lock records for the stage.
    """
    hashes = locked_hashes(locked, "deps")
    return {path: md5 for path, md5 in hashes.items() if path.startswith("data/")}
