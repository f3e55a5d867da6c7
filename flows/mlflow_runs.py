"""MLflow runs: create them, log any number of values under any name, and always end them."""

import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from flows import mlflow_names
from flows.process_identity import has_ended, this_process
from tasks.provenance.git import Revision

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

# Tags that the MLflow UI shows as the source and description of a run.
COMMIT = "mlflow.source.git.commit"
DIRTY = "mlflow.source.git.dirty"
NOTE = "mlflow.note.content"

REASON = "facsimile.reason"
_UNKNOWN = "facsimile.revision_unknown"
_PROCESS = "facsimile.process"

# Limits of one MLflow request.
_METRICS, _PARAMS, _TAGS = 1000, 100, 100
_PARAM_LENGTH, _TAG_LENGTH = 6000, 5000


def open_run(
    client: "MlflowClient", experiment: str, name: str, begin: float, tags: Mapping[str, str]
) -> str:
    """Create a run in state RUNNING that began at `begin` (Unix time, seconds); returns its id."""
    tags = {_PROCESS: this_process(), **tags}
    tags = {key: _cut(value, _TAG_LENGTH) for key, value in tags.items()}
    run = client.create_run(experiment, start_time=int(begin * 1000), run_name=name, tags=tags)
    return run.info.run_id


def log(
    client: "MlflowClient",
    run: str,
    *,
    metrics: Mapping[str, float] | None = None,
    params: Mapping[str, object] | None = None,
    tags: Mapping[str, str] | None = None,
    milliseconds: int = 0,
    step: int = 0,
) -> None:
    """Log values to a run in batches, under names as `mlflow_names.encode` writes them.

    Args:
        milliseconds: Unix time of the metrics, ms.
        step: training step of the metrics.
    """
    from mlflow.entities import Metric, Param, RunTag

    entries = {mlflow_names.encode(key): float(value) for key, value in (metrics or {}).items()}
    for part in _parts(entries.items(), _METRICS):
        client.log_batch(run, metrics=[Metric(*entry, milliseconds, step) for entry in part])
    values = {mlflow_names.encode(key): str(value) for key, value in (params or {}).items()}
    for part in _parts(values.items(), _PARAMS):
        client.log_batch(run, params=[Param(key, _cut(v, _PARAM_LENGTH)) for key, v in part])
    texts = {mlflow_names.encode(key): value for key, value in (tags or {}).items()}
    for part in _parts(texts.items(), _TAGS):
        client.log_batch(run, tags=[RunTag(key, _cut(v, _TAG_LENGTH)) for key, v in part])


@contextmanager
def ended_run(
    client: "MlflowClient", run: str, status: str, end: float | None = None
) -> Iterator[None]:
    """End a run after the block: with `status`, or as FAILED if logging in the block fails."""
    milliseconds = int((end or time.time()) * 1000)
    try:
        yield
        client.set_terminated(run, status, milliseconds)
    except BaseException as error:
        with suppress(Exception):
            client.set_terminated(run, "FAILED", milliseconds)
            client.set_tag(run, NOTE, _cut(f"not fully logged: {error}", _TAG_LENGTH))
        raise


def end_orphaned_runs(client: "MlflowClient", experiment: str) -> None:
    """Mark runs that dead processes of this machine left RUNNING as KILLED."""
    for run in client.search_runs([experiment], "attributes.status = 'RUNNING'"):
        if has_ended(run.data.tags.get(_PROCESS, "")):
            with suppress(Exception):  # a failure here must not keep the current run from logging
                client.set_terminated(run.info.run_id, "KILLED")


def revision_tags(revision: Revision) -> dict[str, str]:
    """Tags that store a code revision; `revision_of` reads them."""
    if not revision.commit:
        return {_UNKNOWN: revision.unknown}
    return {COMMIT: revision.commit, DIRTY: str(revision.changed)}


def revision_of(run: "Run") -> Revision:
    """Code revision of a run."""
    tags = run.data.tags
    why = tags.get(_UNKNOWN, "not recorded in its MLflow run")
    commit = tags.get(COMMIT, "")
    return Revision(commit, tags.get(DIRTY) == "True", "" if commit else why)


def _parts(entries: Iterable[Any], size: int) -> Iterator[list[Any]]:
    entries = list(entries)
    return (entries[start : start + size] for start in range(0, len(entries), size))


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else f"{text[: length - 1]}…"
