"""What MLflow is to store of a flow run and its stages, as records that can wait on disk.

A record is complete in itself, so it can be delivered in any order, by a later process, and more
than once: what an earlier attempt left of it is replaced.

A folder ``.facsimile/mlflow/<key>`` holds a record that could not be delivered: ``record.json`` and
copies of its artifacts, because the next run overwrites the originals.
"""

import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from facsimile.faces.tables import atomic_directory
from flows import state_folder
from flows.mlflow_runs import ended_run, log, open_run

if TYPE_CHECKING:
    from mlflow import MlflowClient

PENDING = "mlflow"
_FLOW, _RECORD = "facsimile.flow", "facsimile.record"
_FILE = "record.json"


@dataclass(frozen=True)
class FlowRecord:
    """The parent run of a flow.

    Attributes:
        key: unique id.
        name: name of the flow run.
        begin: Unix time, seconds.
        tags: tags from the start.
    """

    key: str
    name: str
    begin: float
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class RunRecord:
    """A run nested in that of its flow, or something about the flow itself.

    Attributes:
        key: unique id.
        flow: the flow.
        name: name of the nested run; empty for the run of the flow.
        begin, end: Unix time, seconds.
        status: FINISHED, FAILED or KILLED; empty if the run goes on.
        metrics, params, tags: what to log.
        inputs: DVC hashes of input data by path.
        artifacts: files to log.
    """

    key: str
    flow: FlowRecord
    name: str
    begin: float
    end: float
    status: str
    metrics: Mapping[str, float] = field(default_factory=dict)
    params: Mapping[str, object] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    inputs: Mapping[str, str] = field(default_factory=dict)
    artifacts: tuple[str, ...] = ()


def open_flow(client: "MlflowClient", experiment: str, flow: FlowRecord) -> str:
    """Id of the run of a flow, which is created if there is none yet."""
    if run := _find(client, experiment, _FLOW, flow.key):
        return run
    return open_run(client, experiment, flow.name, flow.begin, {_FLOW: flow.key, **flow.tags})


def deliver(client: "MlflowClient", experiment: str, record: RunRecord, flow_run: str) -> None:
    """Write a record to MLflow.

    Args:
        client: client of the store.
        experiment: id of the experiment.
        record: the record.
        flow_run: id of the run of its flow.
    """
    run = flow_run
    if record.name:
        if earlier := _find(client, experiment, _RECORD, record.key):
            client.delete_run(earlier)
        tags = {"mlflow.parentRunId": flow_run, _RECORD: record.key}
        run = open_run(client, experiment, record.name, record.begin, tags)
    ending = ended_run(client, run, record.status, record.end) if record.status else nullcontext()
    with ending:
        log(
            client,
            run,
            metrics=record.metrics,
            params=record.params,
            tags=record.tags,
            milliseconds=int(record.end * 1000),
        )
        if record.inputs:
            client.log_inputs(run, [_dataset(*item) for item in record.inputs.items()])
        for path in record.artifacts:
            client.log_artifact(run, path)


def keep(root: Path, record: RunRecord) -> None:
    """Store a record that could not be delivered in the project's state folder."""
    folder = state_folder.make_folder(root, PENDING) / record.key
    with atomic_directory(folder) as temporary:
        for path in record.artifacts:
            shutil.copy2(path, temporary)
        (temporary / _FILE).write_text(json.dumps(asdict(record), default=str))


def kept(root: Path) -> Iterator[tuple[Path, RunRecord]]:
    """Records that are still to be delivered, oldest first, with their folders."""
    paths = (root / state_folder.FOLDER / PENDING).glob(f"*/{_FILE}")
    records = [(path.parent, _read(path)) for path in paths]
    yield from sorted(records, key=lambda item: item[1].end)


def deliver_kept(root: Path, client: "MlflowClient", experiment: str) -> None:
    """Deliver the records of earlier runs. Raises the last error after trying all of them."""
    failure = None
    for folder, record in kept(root):
        try:
            deliver(client, experiment, record, open_flow(client, experiment, record.flow))
        except Exception as error:  # databases and networks raise their own kinds
            failure = error
            continue
        shutil.rmtree(folder)
    if failure:
        raise failure


def _read(path: Path) -> RunRecord:
    values = json.loads(path.read_text())
    artifacts = tuple(str(path.with_name(Path(name).name)) for name in values.pop("artifacts"))
    return RunRecord(flow=FlowRecord(**values.pop("flow")), artifacts=artifacts, **values)


def _find(client: "MlflowClient", experiment: str, tag: str, value: str) -> str:
    """Id of the run with a tag; empty if there is none."""
    runs = client.search_runs([experiment], f"tags.`{tag}` = '{value}'", max_results=1)
    return runs[0].info.run_id if runs else ""


def _dataset(path: str, md5: str) -> object:
    """Input data with its DVC hash as digest.

    MLflow's own digest of a data frame ignores boolean columns and rows beyond 10,000.
    """
    from mlflow.entities import Dataset, DatasetInput

    return DatasetInput(Dataset(path, md5, "local", json.dumps({"uri": path})))
