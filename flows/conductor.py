"""Prefect flows over the stage graph of dvc.yaml.

`regenerate` brings targets and all they need up to date; `retrain` trains and evaluates on the data
at hand. A stage is a task that runs ``dvc repro --single-item`` as a process of its own. It is
tried again when it dies; bad input and bugs end it at once.
"""

import time
from collections import Counter
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
from flows.artifacts import publish
from flows.device_lease import find_devices, lease
from flows.graph import needed_by, read_graph
from flows.outputs import check_shipped, key_figure
from flows.project_lock import project_lock
from flows.run_params import RunParams
from flows.tracking import Tracker
from tasks.provenance.git import NOTED, since
from tasks.shared.endings import remove_leftovers
from tasks.shared.exit_codes import ExitCode

RETRIES = 2
_CHANGED = "params.yaml was changed while the run was under way"
TARGETS = ("evaluate",)


@dataclass(frozen=True)
class StageReport:
    """What became of one stage: ``Completed``, ``Cached``, ``Failed`` or ``Not run``, and why."""

    stage: str
    state: str
    seconds: float
    key_figure: str
    reason: str


class FlowRun:
    """What the stage tasks of one flow run share.

    Args:
        root: project folder.
        graph: all stages.
        stages: names of those to conduct, in an order in which they can run.
    """

    def __init__(self, root: Path, graph: nx.DiGraph, stages: list[str]) -> None:
        self.root = root
        self.graph = graph
        self.stages = stages
        self.params = RunParams(root)
        for folder in (root, root / "data"):
            remove_leftovers(folder)
        # One look at the start; later, only at stages whose inputs this run has rewritten.
        self.stale = dvc.stale_stages(root)
        self.rewritten: set[str] = set()
        self.seconds: Counter[str] = Counter()
        self.died: Counter[str] = Counter()
        self.starved: Counter[str] = Counter()
        self.ended = False
        self.devices = find_devices()
        self.tracker = Tracker(root, flow_run.name, self.params.values)

    def is_current(self, stage: str) -> bool:
        """Whether neither the stage itself nor anything it needs has changed."""
        return stage not in self.stale and not self.rewritten & nx.ancestors(self.graph, stage)

    def check(self, stage: str) -> None:
        """Raises StageError if the run has ended, or the stage is frozen and its files others."""
        self._check_under_way(stage)
        try:
            check_shipped(self.root, self.graph.nodes[stage]["stage"])
        except FacsimileError as error:
            raise dvc.StageError(stage, ExitCode.BAD_INPUT, str(error)) from error

    def is_sound(self, stage: str) -> bool:
        """Whether DVC's cache alone lacks something of a stage; its outputs are put there again."""
        return bool(dvc.uncached(self.stale.get(stage, ()))) and dvc.cache_again(stage, self.root)

    def reproduce(self, stage: str) -> bool:
        """Run a stage, on a leased device if it needs one. Returns whether its command ran."""
        # Half the batch after each time that memory ran out (tasks/shared/stage.py).
        environment = {"FACSIMILE_BATCH_SCALE": str(0.5 ** self.starved[stage])}
        revision = since(self.tracker.revision, self.root)
        environment[NOTED] = revision.to_json()
        logger = get_run_logger()

        def log(line: str) -> None:
            logger.info(line)
            events.emit(stage, events.RUNNING, line)

        with ExitStack() as leases:
            if self.graph.nodes[stage]["stage"].needs_device:
                events.emit(stage, events.WAITING)
                environment |= leases.enter_context(lease(self.devices))
            # It may have waited for a device until the run was interrupted.
            self._check_under_way(stage)
            events.emit(stage, events.RUNNING)
            begin = time.time()
            self._check_params(stage)
            ran = dvc.reproduce(stage, self.root, environment, log, lambda: self.ended)
            self._check_record(stage)
            end = time.time()
        if ran:
            self.rewritten.add(stage)
            self.seconds[stage] = end - begin
            self.tracker.log_stage(stage, begin, end, revision)
        return ran

    def _check_under_way(self, stage: str) -> None:
        if self.ended:
            raise dvc.StageError(stage, ExitCode.BAD_INPUT, "the run has ended")

    def _check_params(self, stage: str) -> None:
        """Refuse to run a stage with other params than those with which the run began."""
        if change := self.params.changed(self.graph.nodes[stage]["stage"].params):
            raise dvc.StageError(stage, ExitCode.BAD_INPUT, f"{_CHANGED}: {change}; run it again")

    def _check_record(self, stage: str) -> None:
        """Refuse what DVC recorded with params that the stage has not read."""
        if change := self.params.misrecorded(stage, self.graph.nodes[stage]["stage"].params):
            dvc.forget(stage, self.root)
            raise dvc.StageError(stage, ExitCode.BAD_INPUT, f"{_CHANGED}: {change}; run it again")

    def failed(self, stage: str, error: dvc.StageError) -> State:
        """The state of a stage that did not finish; says what is done about it, or what to do."""
        message = str(error)
        self.died[stage] += error.died
        self.starved[stage] += error.starved
        again = error.died and self.died[stage] <= RETRIES
        if again:
            how = " with batches of half the size and half the workers" if error.starved else ""
            message += f": tried again{how}"
            get_run_logger().warning(message)
            events.emit(stage, events.RUNNING, message)
        elif error.starved:
            message += (
                f"; {self.starved[stage]} times, each with batches of half the size: free memory, "
                "or set FACSIMILE_BATCH_SIZE and FACSIMILE_WORKERS to less"
            )
        # Returned, not raised: the reason is one line, and a traceback through here explains none.
        return Failed(message=message, data=error)


def _died(_task: Task, _task_run: TaskRun, state: State) -> bool:
    error = state.result(raise_on_failure=False)
    return isinstance(error, dvc.StageError) and error.died


def _tell(_task: Task, task_run: TaskRun, state: State) -> None:
    events.emit(task_run.name, state.name, state.message or "")


@task(
    task_run_name="{stage}",
    retries=RETRIES,
    retry_delay_seconds=1,
    retry_condition_fn=_died,
    on_completion=[_tell],
    on_failure=[_tell],
    cache_policy=NO_CACHE,
    persist_result=False,
)
def run_stage(stage: str, run: FlowRun) -> State:
    """Bring one stage up to date."""
    begin = time.time()
    try:
        run.check(stage)
        if run.is_current(stage):
            return Completed(name="Cached", message="nothing has changed")
        if run.is_sound(stage):
            return Completed(name="Cached", message="still as recorded; put into DVC's cache again")
        ran = run.reproduce(stage)
    except dvc.StageError as error:
        run.tracker.log_failure(stage, begin, str(error))
        return run.failed(stage, error)
    except FacsimileError as error:  # no lease
        run.tracker.log_failure(stage, begin, str(error))
        return Failed(message=f"{stage}: {error}", data=error)
    if not ran:
        return Completed(name="Cached", message="made from the same inputs before")
    return Completed(message=", ".join(run.stale.get(stage, ["its inputs were made again"])))


@flow(task_runner=ThreadPoolTaskRunner(max_workers=64), persist_result=False)
def regenerate(targets: list[str] | None = None, root: str = ".") -> State:
    """Bring `targets` and every stage they need up to date.

    Args:
        targets: stages of dvc.yaml (default: the evaluation, and so all of them).
        root: project folder.
    """
    graph = read_graph(Path(root))
    return conduct(Path(root).resolve(), graph, needed_by(graph, targets or TARGETS))


@flow(task_runner=ThreadPoolTaskRunner(max_workers=64), persist_result=False)
def retrain(root: str = ".") -> State:
    """Train all detectors and evaluate them, on the real and accepted faces at hand, although what
    made these may have changed.

    Args:
        root: project folder.
    """
    graph = read_graph(Path(root))
    return conduct(Path(root).resolve(), graph, ["baseline", "train", "evaluate"])


def conduct(root: Path, graph: nx.DiGraph, stages: list[str]) -> State:
    """Bring stages up to date, once no other run is under way in the project.

    Args:
        root: project folder.
        graph: all stages.
        stages: names of those to conduct, in an order in which they can run.

    Returns:
        A state with a `StageReport` for each stage as its data.
    """

    def queued(holder: str) -> None:
        get_run_logger().info("waiting for %s", holder)
        events.emit("", events.QUEUED, f"waiting for {holder}")

    with project_lock(root, deployment.name or flow_run.name, queued):
        return _submit(FlowRun(root, graph, stages))


def _submit(run: FlowRun) -> State:
    """Run the stages, and tell everybody what came of them."""
    try:
        reports = _run_stages(run)
    except BaseException as error:
        crashed = isinstance(error, Exception)
        run.tracker.close("FAILED" if crashed else "KILLED", reason=repr(error))
        raise
    failures = [report.reason for report in reports if report.state not in ("Completed", "Cached")]
    states = {report.stage: report.state for report in reports}
    run.tracker.close("FAILED" if failures else "FINISHED", states, "".join(failures[:1]))
    unpublished = publish(run.root, [asdict(report) for report in reports])
    for line in filter(None, (unpublished, run.tracker.failure)):
        get_run_logger().warning(line)
        events.add_note(line)
    if failures:
        return Failed(message=failures[0], data=reports)
    return Completed(data=reports)


def _run_stages(run: FlowRun) -> list[StageReport]:
    """Submit every stage at once; each waits for those it reads from."""
    futures = {}
    try:
        for stage in run.stages:
            upstream = [futures[name] for name in run.graph.predecessors(stage) if name in futures]
            futures[stage] = run_stage.submit(stage, run, wait_for=upstream)
        for future in futures.values():
            future.wait()
    finally:
        run.ended = True
        dvc.kill_all()  # whatever ends the flow ends its stages
    return [
        StageReport(
            stage,
            future.state.name if future.state.is_final() else "Not run",
            run.seconds[stage],
            key_figure(run.root, stage),
            future.state.message or "",
        )
        for stage, future in futures.items()
    ]
