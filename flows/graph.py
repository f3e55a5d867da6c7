"""The stage graph defined by dvc.yaml."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import networkx as nx

from facsimile.errors import FacsimileError
from tasks.provenance.dvc_files import PIPELINE, declared_stages

FLOW_TARGETS: dict[str, tuple[str, ...]] = {
    "regenerate": ("evaluate",),
    "paper": ("evaluate", "paper"),
    "editors": ("editor_benchmark",),
}
"""Flow → the stages that it brings up to date, with all stages that they depend on."""
TARGETS = FLOW_TARGETS["regenerate"]


@dataclass(frozen=True)
class Stage:
    """A stage of dvc.yaml; paths are relative to the project, params are keys of params.yaml."""

    name: str
    deps: tuple[str, ...]
    outs: tuple[str, ...]
    params: tuple[str, ...]
    needs_device: bool
    frozen: bool


def read_graph(root: Path, extra: bool = False) -> nx.DiGraph:
    """Graph of stage names, with node attribute ``stage`` and edges from producer to consumer.

    Args:
        root: project folder.
        extra: whether to include the stages that only `facsimile paper` or `facsimile editors`
            needs.

    Raises:
        FacsimileError: dvc.yaml is missing or unreadable, or the stages form a cycle.
    """
    stages = [_stage(name, body) for name, body in declared_stages(root, extra).items()]

    graph = nx.DiGraph()
    for stage in stages:
        graph.add_node(stage.name, stage=stage)
    for producer in stages:
        for consumer in stages:
            if any(_overlap(out, dep) for out in producer.outs for dep in consumer.deps):
                graph.add_edge(producer.name, consumer.name)
    if not nx.is_directed_acyclic_graph(graph):
        cycle = [producer for producer, _ in nx.find_cycle(graph)]
        raise FacsimileError(f"{root / PIPELINE}: cycle {' → '.join([*cycle, cycle[0]])}")
    return graph


def needed_by(graph: nx.DiGraph, targets: Sequence[str]) -> list[str]:
    """The targets and all stages they depend on, in topological order.

    Raises:
        FacsimileError: a target is not a stage.
    """
    for target in targets:
        if target not in graph:
            raise FacsimileError(f"no stage {target!r}; stages are {', '.join(graph)}")
    needed = set(targets).union(*(nx.ancestors(graph, target) for target in targets))
    # Ties are broken by the order in dvc.yaml, so that tables follow the file.
    position = {name: index for index, name in enumerate(graph)}
    return list(nx.lexicographical_topological_sort(graph.subgraph(needed), key=position.get))


def _stage(name: str, body: dict[str, Any]) -> Stage:
    return Stage(
        name=name,
        deps=_paths(body.get("deps")),
        outs=_paths(body.get("outs")),
        params=tuple(key for key in body.get("params") or () if isinstance(key, str)),
        needs_device=(body.get("meta") or {}).get("device") == "gpu",
        frozen=bool(body.get("frozen")),
    )


def _paths(entries: list[Any] | None) -> tuple[str, ...]:
    """Paths of deps or outs; each entry is a path or a mapping from a path to its options."""
    return tuple(
        str(PurePosixPath(next(iter(entry)) if isinstance(entry, dict) else entry))
        for entry in entries or []
    )


def _overlap(one: str, other: str) -> bool:
    """Whether the paths are equal or one contains the other."""
    a, b = PurePosixPath(one), PurePosixPath(other)
    return a == b or a in b.parents or b in a.parents
