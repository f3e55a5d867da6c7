"""Status of each stage: which stages would run and why. Works while another run is in progress."""

import time
from dataclasses import dataclass
from pathlib import Path

import networkx as nx

from facsimile.errors import FacsimileError
from flows import dvc
from flows.graph import Stage, needed_by, read_graph
from flows.outputs import check_shipped
from flows.project_lock import running_stages

_TRIES = 5


@dataclass(frozen=True)
class StageStatus:
    """State of one stage and the reason.

    State is ``running``, ``changed``, ``behind``, ``uncached``, ``frozen``, ``replaced`` or
    ``up to date``.
    """

    stage: str
    state: str
    why: str = ""


def stage_states(root: Path, extra: bool = False) -> list[StageStatus]:
    """Status of all stages, in topological order.

    Args:
        root: project folder.
        extra: whether to include the stages that only `facsimile paper` or `facsimile editors`
            needs.

    Raises:
        FacsimileError: `root` has no pipeline, or `dvc status` failed.
    """
    graph = read_graph(root, extra)
    running, stale = _running_and_stale(root, graph)
    states: list[StageStatus] = []
    behind: set[str] = set()
    for stage in needed_by(graph, list(graph)):
        sources = sorted(behind & set(graph.predecessors(stage)))
        if stage in running:
            state = StageStatus(stage, "running")
        elif graph.nodes[stage]["stage"].frozen:
            state = _frozen(root, graph.nodes[stage]["stage"])
        elif stage in stale and dvc.uncached(stale[stage]) != stale[stage]:
            state = StageStatus(stage, "changed", ", ".join(stale[stage]))
        elif sources:
            state = StageStatus(stage, "behind", f"{', '.join(sources)} will run")
        elif stage in stale:
            why = f"{', '.join(stale[stage])}; restored if the file is unchanged"
            state = StageStatus(stage, "uncached", why)
        else:
            state = StageStatus(stage, "up to date")
        if state.state in ("running", "changed", "behind"):
            behind.add(stage)
        states.append(state)
    return states


def _frozen(root: Path, stage: Stage) -> StageStatus:
    """Status of a frozen stage, whose files must match the digests recorded beside them."""
    try:
        verified = check_shipped(root, stage)
    except FacsimileError as error:
        return StageStatus(stage.name, "replaced", str(error))
    why = "" if verified else "not verified: no SHA256SUMS beside its files"
    return StageStatus(stage.name, "frozen", why)


def _running_and_stale(root: Path, graph: nx.DiGraph) -> tuple[set[str], dict[str, list[str]]]:
    """Stages that are running, and stages that are stale with the reasons.

    `dvc status` fails for running stages and for their direct consumers, which are behind anyway,
    so both are excluded. If another stage starts in between it fails as well, and is retried.
    """
    outs = {name: graph.nodes[name]["stage"].outs for name in graph}
    tries = _TRIES
    while True:
        running = running_stages(root, outs)
        hidden = running.union(*(graph.successors(stage) for stage in running))
        visible = [stage for stage in graph if stage not in hidden]
        try:
            return running, dvc.stale_stages(root, visible) if visible else {}
        except FacsimileError as error:
            tries -= 1
            if not tries or "is busy" not in str(error):
                raise
            time.sleep(0.5)
