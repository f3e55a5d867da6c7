"""Prefect flows over the stage graph of dvc.yaml.

`regenerate` brings target stages and their dependencies up to date; `retrain` trains and evaluates
on the existing data; `paper` measures every claim of the paper; `editors` compares all editors.
Each stage is a task that runs ``dvc repro --single-item`` in a subprocess. It is retried if it is
killed or runs out of memory, but not on bad input or a bug.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import networkx as nx
from prefect import Task, flow, get_run_logger, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, TaskRun
from prefect.runtime import deployment, flow_run
from prefect.states import Completed, Failed
from prefect.task_runners import ThreadPoolTaskRunner

from facsimile.errors import FacsimileError
from flows import dvc, events
from flows.artifacts import publish
from flows.graph import FLOW_TARGETS, TARGETS, needed_by, read_graph
from flows.orphaned_runs import close_orphaned_runs, record_process
from flows.outputs import key_figure
from flows.pipeline_run import RETRIES, PipelineRun, StageReport
from flows.project_lock import project_lock


def _is_retryable(_task: Task, _task_run: TaskRun, state: State) -> bool:
    error = state.result(raise_on_failure=False)
    return isinstance(error, dvc.StageError) and error.retryable


def _emit_final_state(_task: Task, task_run: TaskRun, state: State) -> None:
    events.emit(task_run.name, state.name, state.message or "")


@task(
    task_run_name="{stage}",
    retries=RETRIES,
    retry_delay_seconds=1,
    retry_condition_fn=_is_retryable,
    on_completion=[_emit_final_state],
    on_failure=[_emit_final_state],
    cache_policy=NO_CACHE,
    persist_result=False,
)
def run_stage(stage: str, run: PipelineRun) -> State:
    """Bring one stage up to date."""
    begin = time.time()
    try:
        run.check(stage)
        if run.is_current(stage):
            return Completed(name="Cached", message="unchanged")
        if run.restore_cache(stage):
            return Completed(name="Cached", message="unchanged; restored to DVC's cache")
        ran = run.reproduce(stage)
    except dvc.StageError as error:
        run.tracker.log_failure(stage, begin, str(error))
        return run.failed(stage, error)
    except FacsimileError as error:  # no device lease
        run.tracker.log_failure(stage, begin, str(error))
        return Failed(message=f"{stage}: {error}", data=error)
    if not ran:
        return Completed(name="Cached", message="restored from an earlier run with the same inputs")
    return Completed(message=", ".join(run.stale.get(stage, ["inputs rebuilt"])))


@flow(task_runner=ThreadPoolTaskRunner(max_workers=64), persist_result=False)
def regenerate(targets: list[str] | None = None, root: str = ".") -> State:
    """Bring `targets` and all stages they depend on up to date.

    Args:
        targets: stages of dvc.yaml (default: ``evaluate``, which depends on all others).
        root: project folder.
    """
    return _bring_up_to_date(root, targets or TARGETS)


@flow(task_runner=ThreadPoolTaskRunner(max_workers=64), persist_result=False)
def paper(root: str = ".") -> State:
    """Measure every claim of the paper, after bringing the pipeline up to date.

    Args:
        root: project folder.
    """
    return _bring_up_to_date(root, FLOW_TARGETS["paper"])


@flow(task_runner=ThreadPoolTaskRunner(max_workers=64), persist_result=False)
def editors(root: str = ".") -> State:
    """Compare all editors on the same faces, after bringing what they need up to date.

    Args:
        root: project folder.
    """
    return _bring_up_to_date(root, FLOW_TARGETS["editors"])


def _bring_up_to_date(root: str, targets: Sequence[str]) -> State:
    graph = read_graph(Path(root), extra=True)
    return conduct(Path(root).resolve(), graph, needed_by(graph, targets))


@flow(task_runner=ThreadPoolTaskRunner(max_workers=64), persist_result=False)
def retrain(root: str = ".") -> State:
    """Train and evaluate all detectors on the existing real and accepted generated faces.

    The stages that produced these faces are not rerun, even if they are stale.

    Args:
        root: project folder.
    """
    graph = read_graph(Path(root))
    return conduct(Path(root).resolve(), graph, ["baseline", "train", "evaluate"])


def conduct(root: Path, graph: nx.DiGraph, stages: list[str]) -> State:
    """Bring stages up to date; waits for any other run in the same project to finish first.

    Args:
        root: project folder.
        graph: all stages.
        stages: names of the stages to run, in topological order.

    Returns:
        A state whose data is a list with one `StageReport` per stage.
    """

    def queued(holder: str) -> None:
        get_run_logger().info("waiting for %s", holder)
        events.emit("", events.QUEUED, f"waiting for {holder}")

    record_process()
    for line in close_orphaned_runs():
        get_run_logger().warning(line)
        events.add_note(line)
    with project_lock(root, deployment.name or flow_run.name, queued):
        return _submit(PipelineRun(root, graph, stages))


def _submit(run: PipelineRun) -> State:
    """Run the stages and report the outcome to MLflow, Prefect and the user."""
    try:
        reports = _run_stages(run)
    except BaseException as error:
        crashed = isinstance(error, Exception)
        run.tracker.close("FAILED" if crashed else "KILLED", reason=repr(error))
        raise
    failures = [report.reason for report in reports if report.state not in ("Completed", "Cached")]
    states = {report.stage: report.state for report in reports}
    unregistered = "" if failures else _register(run, states)
    run.tracker.close("FAILED" if failures else "FINISHED", states, "".join(failures[:1]))
    rows = [asdict(report) for report in reports]
    unpublished = publish(run.root, rows, run.tracker.revision, run.tracker.page)
    for line in filter(None, (unregistered, unpublished, run.tracker.failure)):
        get_run_logger().warning(line)
        events.add_note(line)
    if failures:
        return Failed(message=failures[0], data=reports)
    return Completed(data=reports)


def _register(run: PipelineRun, states: Mapping[str, str]) -> str:
    """Register detectors that this run has trained and evaluated, as the challenger.

    Returns:
        Why they were not registered; empty if they were, or if there is nothing to register.
    """
    if states.get("train") != "Completed" or "evaluate" not in states or run.tracker.failure:
        return ""  # a store that does not respond is reported already
    from flows.registration import register  # imports torch

    try:
        get_run_logger().info("%s", register(run.root, parent=run.tracker.parent))
    except Exception as error:  # the results of the run matter more
        return f"detectors not registered: {error}"
    return ""


def _run_stages(run: PipelineRun) -> list[StageReport]:
    """Submit all stages at once; each waits for the stages it reads from."""
    futures = {}
    try:
        for stage in run.stages:
            upstream = [futures[name] for name in run.graph.predecessors(stage) if name in futures]
            futures[stage] = run_stage.submit(stage, run, wait_for=upstream)
        for future in futures.values():
            future.wait()
    finally:
        run.ended = True
        dvc.kill_all()  # no stage outlives the flow
    return [
        StageReport(
            stage,
            future.state.name if future.state.is_final() else "Not run",
            run.seconds[stage],
            key_figure(run.root, stage),
            future.state.message or "",
            **run.usage.get(stage, {}),
        )
        for stage, future in futures.items()
    ]
