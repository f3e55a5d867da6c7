"""Flow runs that killed processes left unfinished in Prefect.

Prefect learns how a flow run ended from its process. If that is killed, or its machine goes down,
the run stays RUNNING forever. So each run records its process, and the next run on the same machine
marks the runs of processes that have ended as crashed.
"""

from datetime import UTC, datetime, timedelta

import httpx
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterId,
    FlowRunFilterState,
    FlowRunFilterStateType,
    TaskRunFilter,
    TaskRunFilterState,
    TaskRunFilterStateType,
)
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.exceptions import PrefectException
from prefect.runtime import flow_run
from prefect.states import Crashed

from flows.process_identity import has_ended, this_process

_PROCESS = "facsimile.process"
_UNFINISHED = [StateType.RUNNING, StateType.CANCELLING]
_SECONDS_TO_START = 600.0


def record_process() -> None:
    """Record the process of the current flow run in Prefect."""
    with get_client(sync_client=True) as client:
        client.update_flow_run_labels(flow_run.id, {_PROCESS: this_process()})


def close_orphaned_runs() -> list[str]:
    """Mark flow runs whose processes have ended as crashed, with their stages.

    Also those that a server of deployments began to start, but that did not run within 10 minutes.

    Returns:
        One line per run, or the reason why runs could not be closed.
    """
    try:
        with get_client(sync_client=True) as client:
            return [_close(client, run) for run in _orphaned_runs(client)]
    except (httpx.HTTPError, PrefectException) as error:  # the current run matters more
        return [f"cannot close runs that were killed earlier ({error})"]


def _orphaned_runs(client: SyncPrefectClient) -> list[FlowRun]:
    running = client.read_flow_runs(flow_run_filter=FlowRunFilter(state=_in_states(_UNFINISHED)))
    pending = client.read_flow_runs(
        flow_run_filter=FlowRunFilter(state=_in_states([StateType.PENDING]))
    )
    latest = datetime.now(UTC) - timedelta(seconds=_SECONDS_TO_START)
    return [
        *(run for run in running if has_ended(str(run.labels.get(_PROCESS, "")))),
        *(run for run in pending if run.deployment_id and run.state.timestamp < latest),
    ]


def _in_states(types: list[StateType]) -> FlowRunFilterState:
    return FlowRunFilterState(type=FlowRunFilterStateType(any_=types))


def _close(client: SyncPrefectClient, run: FlowRun) -> str:
    reason = "its process was killed, or its machine went down"
    if run.state_type == StateType.PENDING:
        reason = "it did not start"
    crashed = Crashed(message=f"Ended by a later run: {reason}.")
    tasks = client.read_task_runs(
        flow_run_filter=FlowRunFilter(id=FlowRunFilterId(any_=[run.id])),
        task_run_filter=TaskRunFilter(
            state=TaskRunFilterState(type=TaskRunFilterStateType(any_=[StateType.RUNNING]))
        ),
    )
    for task in tasks:
        client.set_task_run_state(task.id, crashed, force=True)
    client.set_flow_run_state(run.id, crashed, force=True)
    return f"closed {run.name}, left {run.state_name.lower()}: {reason}"
