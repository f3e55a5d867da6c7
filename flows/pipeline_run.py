"""State of one run of the pipeline, and how it brings a single stage up to date."""

import signal
import time
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import networkx as nx
from prefect import get_run_logger
from prefect.client.schemas.objects import State
from prefect.runtime import flow_run
from prefect.states import Failed

from facsimile.errors import FacsimileError
from flows import dvc, events
from flows.alerts import report_stall
from flows.device_lease import find_devices, lease
from flows.outputs import check_shipped
from flows.run_params import RunParams, read_operations
from flows.stage_watch import StageWatch
from flows.tracking import Tracker
from flows.verification import Verification, remove
from tasks.provenance.git import NOTED, since
from tasks.shared.endings import remove_leftovers
from tasks.shared.exit_codes import ExitCode

RETRIES = 2
_CHANGED = "params.yaml was changed during the run"


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


class PipelineRun:
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
        self.id = flow_run.id  # unknown in other threads
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
            report_stall(self.id, message)
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
