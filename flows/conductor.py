"""Prefect flows over the stage graph of dvc.yaml.

`regenerate` brings target stages and their dependencies up to date; `retrain` trains and evaluates
on the existing data. Each stage is a task that runs ``dvc repro --single-item`` in a subprocess. It
is retried if it is killed or runs out of memory, but not on bad input or a bug.
"""

import signal
import time
from collections import Counter
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass
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
from flows.alerts import report_stall
from flows.artifacts import publish
from flows.device_lease import find_devices, lease
from flows.graph import needed_by, read_graph
from flows.orphaned_runs import close_orphaned_runs, record_process
from flows.outputs import check_shipped, key_figure
from flows.project_lock import project_lock
from flows.run_params import RunParams, read_operations
from flows.stage_watch import StageWatch
from flows.tracking import Tracker
from flows.verification import Verification, remove
from tasks.provenance.git import NOTED, since
from tasks.shared.endings import remove_leftovers
from tasks.shared.exit_codes import ExitCode

RETRIES = 2
_CHANGED = "params.yaml was changed during the run"
TARGETS = ("evaluate",)


@dataclass(frozen=True)
class StageReport:
    """Outcome of one stage: ``Completed``, ``Cached``, ``Failed`` or ``Not run``, and why."""

    stage: str
    state: str
    seconds: float
    key_figure: str
    reason: str
    peak_memory_mb: float = 0.0
    peak_gpu_memory_mb: float = 0.0
    faces_per_second: float = 0.0


class FlowRun:
    """State shared by the stage tasks of one flow run.

    Args:
        root: project folder.
        graph: all stages.
        stages: names of the stages to run, in topological order.
    """

    def __init__(self, root: Path, graph: nx.DiGraph, stages: list[str]) -> None:
        self.root = root
        self.graph = graph
        self.stages = stages
        self.params = RunParams(root)
        for folder in (root, root / "data"):
            remove_leftovers(folder)
        # Checked once at the start; later, a stage is also stale if this run rewrote its inputs.
        self.stale = dvc.stale_stages(root)
        self.rewritten: set[str] = set()
        self.seconds: Counter[str] = Counter()
        self.crashes: Counter[str] = Counter()
        self.out_of_memory: Counter[str] = Counter()
        self.ended = False
        self.devices = find_devices()
        self.operations = read_operations(root)
        self.usage: dict[str, dict[str, float]] = {}
        self.tracker = Tracker(root, flow_run.name, self.params.values)

    def is_current(self, stage: str) -> bool:
        """Whether the stage and all its dependencies are unchanged."""
        return stage not in self.stale and not self.rewritten & nx.ancestors(self.graph, stage)

    def check(self, stage: str) -> None:
        """Raise StageError if the run has ended or the files of a frozen stage were modified."""
        self._check_not_ended(stage)
        try:
            check_shipped(self.root, self.graph.nodes[stage]["stage"])
        except FacsimileError as error:
            raise dvc.StageError(stage, ExitCode.BAD_INPUT, str(error)) from error

    def restore_cache(self, stage: str) -> bool:
        """Recache the outputs of a stage if nothing else about it has changed.

        Returns:
            Whether the stage is up to date now.
        """
        return bool(dvc.uncached(self.stale.get(stage, ()))) and dvc.recache(stage, self.root)

    def reproduce(self, stage: str) -> bool:
        """Run a stage, on a leased device if it needs one. Returns whether its command ran."""
        # Each out-of-memory failure halves the batch (tasks/shared/stage.py).
        environment = {"FACSIMILE_BATCH_SCALE": str(0.5 ** self.out_of_memory[stage])}
        revision = since(self.tracker.revision, self.root)
        environment[NOTED] = revision.to_json()
        logger = get_run_logger()
        stalled = False

        def log(line: str) -> None:
            logger.info(line)
            events.emit(stage, events.RUNNING, line)

        def on_stall() -> None:
            nonlocal stalled
            stalled = self.operations.kill_stalled
            message = f"{stage}: no progress for {self.operations.stall_minutes:g} minutes"
            logger.warning(message)
            events.emit(stage, events.RUNNING, message)
            report_stall(message)
            if stalled:
                dvc.kill(stage)

        watch = StageWatch(log, 60 * self.operations.stall_minutes, on_stall)
        with ExitStack() as leases:
            if self.graph.nodes[stage]["stage"].needs_device:
                events.emit(stage, events.WAITING)
                environment |= leases.enter_context(lease(self.devices))
            # The run may have been interrupted while this stage waited for a device.
            self._check_not_ended(stage)
            events.emit(stage, events.RUNNING)
            begin = time.time()
            self._check_params(stage)
            try:
                with watch:
                    ran = self._reproduce(stage, environment, watch)
            except dvc.StageError as error:
                if stalled:
                    reason = (
                        f"killed after {self.operations.stall_minutes:g} minutes without progress"
                    )
                    raise dvc.StageError(stage, -signal.SIGTERM, reason) from error
                raise
            self._check_record(stage)
            end = time.time()
        if ran:
            self.rewritten.add(stage)
            self.seconds[stage] = end - begin
            self.usage[stage] = watch.usage()
            self.tracker.log_stage(stage, begin, end, revision, self.usage[stage])
        return ran

    def _reproduce(self, stage: str, environment: dict[str, str], watch: StageWatch) -> bool:
        """Run a stage under watch, once more if what DVC restored is corrupt."""

        def run() -> bool:
            return dvc.reproduce(
                stage, self.root, environment, watch.line, lambda: self.ended, watch.started
            )

        return run() or (self._discard_corrupt(stage) and run())

    def _discard_corrupt(self, stage: str) -> bool:
        """Discard the outputs of a stage if what DVC restored is corrupt.

        Returns:
            Whether they were.
        """
        faults = [fault for fault in Verification(self.root).faults([stage]) if fault.corrupt]
        if not faults:
            return False
        remove(self.root, faults)
        dvc.discard_record(stage, self.root)
        message = f"{faults[0].path}: {faults[0].problem}; running the stage again"
        get_run_logger().warning(message)
        events.emit(stage, events.RUNNING, message)
        return True

    def _check_not_ended(self, stage: str) -> None:
        if self.ended:
            raise dvc.StageError(stage, ExitCode.BAD_INPUT, "the run has ended")

    def _check_params(self, stage: str) -> None:
        """Refuse to run a stage if its params have changed since the run started."""
        if change := self.params.changed(self.graph.nodes[stage]["stage"].params):
            raise dvc.StageError(stage, ExitCode.BAD_INPUT, f"{_CHANGED}: {change}; run it again")

    def _check_record(self, stage: str) -> None:
        """Discard what DVC recorded if it holds params that the stage did not read."""
        if change := self.params.misrecorded(stage, self.graph.nodes[stage]["stage"].params):
            dvc.discard_record(stage, self.root)
            raise dvc.StageError(stage, ExitCode.BAD_INPUT, f"{_CHANGED}: {change}; run it again")

    def failed(self, stage: str, error: dvc.StageError) -> State:
        """State of a failed stage; its message announces the retry or gives a remedy."""
        message = str(error)
        self.crashes[stage] += error.retryable
        self.out_of_memory[stage] += error.out_of_memory
        if error.retryable and self.crashes[stage] <= RETRIES:
            how = " with half the batch size and half the workers" if error.out_of_memory else ""
            message += f": retrying{how}"
            get_run_logger().warning(message)
            events.emit(stage, events.RUNNING, message)
        elif error.out_of_memory:
            message += (
                f"; failed {self.out_of_memory[stage]} times, halving the batch each time: free "
                "memory, or lower FACSIMILE_BATCH_SIZE and FACSIMILE_WORKERS"
            )
        # Returned, not raised: a traceback through this module would only hide the one-line reason.
        return Failed(message=message, data=error)


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
def run_stage(stage: str, run: FlowRun) -> State:
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
    graph = read_graph(Path(root))
    return conduct(Path(root).resolve(), graph, needed_by(graph, targets or TARGETS))


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
        return _submit(FlowRun(root, graph, stages))


def _submit(run: FlowRun) -> State:
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


def _register(run: FlowRun, states: Mapping[str, str]) -> str:
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


def _run_stages(run: FlowRun) -> list[StageReport]:
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
