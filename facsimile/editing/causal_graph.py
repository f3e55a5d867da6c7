"""The AUs that each direction is conditioned on, derived from a declared causal graph.

Source: "Controlled Face Manipulation and Synthesis for Data Augmentation", III-A and Fig. 3. The
graph holds AUs, latent common causes (expressions), nuisances and common effects (colliders). A
spurious AU j leaks into the direction of AU k along open paths between them; conditioning on j
blocks these paths at j. Conditioning on a descendant of k would instead remove part of k's own
effect, and conditioning on a collider would open closed paths.
"""

import warnings
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import networkx as nx
import yaml

from facsimile.errors import FacsimileError
from facsimile.faces.aus import AUS

SECTIONS = ("expressions", "direct", "nuisances", "effects", "overrides")


class CausalWarning(UserWarning):
    """A conditioning set that leaves or opens a path between AUs."""


@dataclass(frozen=True)
class CausalGraph:
    """A causal DAG over the twelve AUs.

    Attributes:
        dag: nodes carry ``kind``: au, expression, nuisance or effect.
        overrides: AU → hand-written conditioning set.
        source: name of the file in messages.
    """

    dag: nx.DiGraph
    overrides: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    source: str = "causal graph"

    @classmethod
    def from_yaml(cls, path: str | Path) -> "CausalGraph":
        """Read and check a graph file such as ``data/config/au_graph.yaml``.

        Raises:
            FacsimileError: the file is not readable, or see `from_config`.
        """
        try:
            config = yaml.safe_load(Path(path).read_text())
        except (OSError, yaml.YAMLError) as error:
            raise FacsimileError(f"{path}: not a readable YAML file ({error})") from error
        return cls.from_config(config or {}, str(path))

    @classmethod
    def from_config(
        cls, config: Mapping[str, Mapping[str, Sequence[str]]], source: str = "causal graph"
    ) -> "CausalGraph":
        """Build a graph from its declaration.

        Args:
            config: ``expressions``, ``direct`` and ``nuisances`` map a cause to its effects;
                ``effects`` maps a collider to its causes; ``overrides`` maps an AU to the AUs to
                condition on instead of the computed set. All sections are optional.
            source: name of the file in messages.

        Raises:
            FacsimileError: unknown section or node, a name declared twice, a cycle, or an override
                with a node that is not an AU.
        """
        unknown = set(config) - set(SECTIONS)
        if unknown:
            raise FacsimileError(
                f"{source}: unknown section {min(unknown)!r}, allowed: {', '.join(SECTIONS)}"
            )
        section = {name: config.get(name) or {} for name in SECTIONS}

        dag = nx.DiGraph()
        dag.add_nodes_from(AUS, kind="au")
        for kind in ("expression", "nuisance", "effect"):
            for node in section[f"{kind}s"]:
                if node in dag:
                    raise FacsimileError(f"{source}: {node!r} is declared twice")
                dag.add_node(node, kind=kind)

        def link(name: str, cause: str, effect: str) -> None:
            for node in (cause, effect):
                if node not in dag:
                    raise FacsimileError(f"{source}: unknown node {node!r} under {name}")
            dag.add_edge(cause, effect)

        for name in ("expressions", "direct", "nuisances"):
            for cause, effects in section[name].items():
                for effect in effects:
                    link(name, cause, effect)
        for effect, causes in section["effects"].items():
            for cause in causes:
                link("effects", cause, effect)

        if not nx.is_directed_acyclic_graph(dag):
            cycle = [cause for cause, _ in nx.find_cycle(dag)]
            raise FacsimileError(f"{source}: cycle {' → '.join([*cycle, cycle[0]])}")

        graph = cls(dag, {au: tuple(aus) for au, aus in section["overrides"].items()}, source)
        for au, chosen in graph.overrides.items():
            graph._check_override(au, chosen)
        return graph

    def adjustment_set(self, au: str, annotated: Iterable[str] = AUS) -> tuple[str, ...]:
        """AUs to condition on when the direction of `au` is fitted.

        Starts with the annotated AUs that are d-connected with `au`, except descendants of `au`,
        colliders and descendants of colliders. Most AUs are common effects of several expressions,
        so conditioning on them can open a path to another AU, which is then added too. This repeats
        until every remaining annotated AU is d-separated from `au` or not allowed. A path opened to
        an effect of `au` (M-bias) cannot be closed in this way: a `CausalWarning` names it.

        Args:
            au: the AU whose direction is fitted.
            annotated: AUs with labels.

        Returns:
            A subset of `annotated`, in FACS order.

        Raises:
            FacsimileError: `au` is not an AU, or its override names an AU that is not annotated.
        """
        self._require_au(au)
        annotated = set(annotated)
        if au in self.overrides:
            missing = set(self.overrides[au]) - annotated
            if missing:
                raise FacsimileError(
                    f"{self.source}: override of {au} names {min(missing)}, which is not annotated"
                )
            return tuple(other for other in AUS if other in self.overrides[au])
        allowed = annotated - {au} - self._barred(au)
        chosen: set[str] = set()
        while opened := {
            other
            for other in allowed - chosen
            if not nx.is_d_separator(self.dag, {au}, {other}, chosen)
        }:
            chosen |= opened
        self._warn_of_opened_paths(au, annotated, chosen)
        return tuple(other for other in AUS if other in chosen)

    def _warn_of_opened_paths(self, au: str, annotated: set[str], chosen: set[str]) -> None:
        """Warn of effects of `au` that are confounded with it only because of the conditioning."""
        backdoor = self.dag.copy()
        backdoor.remove_edges_from(list(self.dag.out_edges(au)))
        for other in annotated.intersection(self.entailed(au)):
            before, after = (
                nx.is_d_separator(backdoor, {au}, {other}, given) for given in (set(), chosen)
            )
            if before and not after:
                names = ", ".join(name for name in AUS if name in chosen)
                warnings.warn(
                    f"{self.source}: conditioning {au} on {names} opens a path to {other}, which "
                    f"{au} causes and which cannot be conditioned on: the direction of {au} may "
                    f"take up {other}; `overrides` can name a smaller set",
                    CausalWarning,
                    stacklevel=3,
                )

    def entailed(self, au: str) -> tuple[str, ...]:
        """Descendants of `au` among the AUs, in FACS order.

        An edit of `au` changes them too, by an unknown amount.
        """
        self._require_au(au)
        descendants = nx.descendants(self.dag, au)
        return tuple(other for other in AUS if other in descendants)

    def entailments(self, aus: Collection[str]) -> dict[str, tuple[str, ...]]:
        """Each of `aus` → those of them that it entails; see `entailed`."""
        return {au: tuple(other for other in self.entailed(au) if other in aus) for au in aus}

    def _barred(self, au: str) -> set[str]:
        """Nodes that must not be conditioned on: descendants, colliders and their descendants."""
        barred = set(nx.descendants(self.dag, au))
        for node, kind in self.dag.nodes(data="kind"):
            if kind == "effect":
                barred |= {node} | nx.descendants(self.dag, node)
        return barred

    def _require_au(self, au: str) -> None:
        if au not in AUS:
            raise FacsimileError(f"{self.source}: unknown AU {au!r}, allowed: {', '.join(AUS)}")

    def _check_override(self, au: str, chosen: tuple[str, ...]) -> None:
        self._require_au(au)
        for other in chosen:
            where = f"{self.source}: override of {au}"
            if other not in self.dag:
                raise FacsimileError(f"{where} names the unknown node {other!r}")
            kind = self.dag.nodes[other]["kind"]
            if kind == "effect":
                causes = ", ".join(self.dag.predecessors(other))
                raise FacsimileError(
                    f"{where} conditions on the collider {other}, which would tie its causes "
                    f"({causes}) to one another"
                )
            if kind != "au" or other == au:
                raise FacsimileError(
                    f"{where} names {other} ({'itself' if other == au else kind}); only other AUs "
                    "have labels to condition on"
                )
            if nx.has_path(self.dag, au, other):
                path = " → ".join(nx.shortest_path(self.dag, au, other))
                warnings.warn(
                    f"{where} conditions on its descendant {other} ({path}), which removes part of "
                    f"the effect of {au} and may open paths that meet at {other}",
                    CausalWarning,
                    stacklevel=3,
                )
            elif other in self._barred(au):
                warnings.warn(
                    f"{where} conditions on {other}, the descendant of a collider, which opens "
                    "the paths that meet at it",
                    CausalWarning,
                    stacklevel=3,
                )
