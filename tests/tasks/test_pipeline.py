"""dvc.yaml against the code of the stages: what a stage needs is what it is re-run for."""

import importlib
from pathlib import Path
from typing import Any

import networkx as nx
import pytest
import yaml

from facsimile.benchmark import CONTESTANTS
from facsimile.paper import TRIALS
from flows.graph import read_graph
from tasks.provenance.dvc_files import declared_stages
from tasks.shared.stage import sections_of
from tests.tasks.code_graph import CodeGraph

ROOT = Path(__file__).parents[2]
PACKAGES = ("facsimile", "tasks")
CODE = CodeGraph(ROOT, PACKAGES)
PIPELINE: dict[str, Any] = yaml.safe_load((ROOT / "dvc.yaml").read_text())
DECLARED: dict[str, Any] = PIPELINE["stages"]
STAGES = [name for name, stage in DECLARED.items() if not stage.get("frozen")]

WHOLE = (
    "facsimile/faces",  # what a face is: every stage reads or writes tables of faces
    "facsimile/generator",  # how codes become images; training is in facsimile/pretraining
    "facsimile/world",  # how faces are rendered
    "tasks/shared",  # how a stage runs
)
"""Small packages that dvc.yaml names as a whole, although a stage may do without a part of them."""


@pytest.mark.parametrize("name", DECLARED)
def test_a_stage_depends_on_the_code_that_it_needs_and_no_other(name: str) -> None:
    declared = {dep for dep in DECLARED[name]["deps"] if dep.startswith(PACKAGES)}
    needed = CODE.shortest(CODE.needed(f"tasks.{name}"), WHOLE)
    changes = [f"add {path}" for path in sorted(needed - declared)]
    changes += [f"remove {path}" for path in sorted(declared - needed)]
    assert not changes, f"dvc.yaml, deps of {name}: {', '.join(changes)}"


def test_data_files_are_found_by_their_names() -> None:
    modules = [path for package in PACKAGES for path in (ROOT / package).rglob("*.py")]
    named = set().union(*(CODE.needed(module_of(path)) for path in modules))
    assert {path.relative_to(ROOT) for path in CODE.data_files} <= named


def module_of(path: Path) -> str:
    """Dotted name of a module."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@pytest.mark.parametrize("name", STAGES)
def test_params_are_the_sections_that_the_stage_reads(name: str) -> None:
    module = importlib.import_module(f"tasks.{name}")
    assert tuple(DECLARED[name]["params"]) == sections_of(module.run)


def readers(section: str) -> set[str]:
    """Stages that depend on a section of params.yaml."""
    return {name for name, stage in DECLARED.items() if section in stage.get("params", ())}


def test_intensity_of_edits_concerns_edits_and_what_uses_them() -> None:
    assert readers("edit") == {"edit", "editor_trials"}
    assert nx.descendants(read_graph(ROOT), "edit") == {"filter", "train", "evaluate"}


def test_arms_and_seeds_concern_what_compares_them() -> None:
    assert readers("train") == {"train"}
    assert nx.descendants(read_graph(ROOT), "train") == {"evaluate"}


def test_branches_are_independent() -> None:
    graph = read_graph(ROOT)
    for one, other in (("baseline", "neutralizer"), ("edit", "synthesize")):
        assert not nx.has_path(graph, one, other)
        assert not nx.has_path(graph, other, one)


def test_each_stage_owns_its_folder() -> None:
    for name in STAGES:
        keys = [f"${{item.{key}}}" for key in DECLARED[name].get("matrix", ())]
        argument, folder = "".join(f" {key}" for key in keys), "".join(f"/{key}" for key in keys)
        assert DECLARED[name]["cmd"] == f"python -m tasks.{name}{argument}"
        assert DECLARED[name]["outs"] == [f"data/{name}{folder}"]
        assert f"/{name}\n" in (ROOT / "data" / ".gitignore").read_text()


def test_the_matrix_has_all_trials() -> None:
    assert DECLARED["trials"]["matrix"] == {"arm": list(TRIALS)}


def test_the_matrices_have_all_editors() -> None:
    methods = [name for name, contestant in CONTESTANTS.items() if not contestant.changed]
    assert DECLARED["editors"]["matrix"] == {"name": list(CONTESTANTS)}
    assert DECLARED["editor_trials"]["matrix"] == {"name": methods}


def test_no_stage_of_the_pipeline_depends_on_the_paper() -> None:
    declared = declared_stages(ROOT, extra=True)
    outs = {
        out for name in declared.keys() - declared_stages(ROOT) for out in declared[name]["outs"]
    }
    assert len(outs) > len(TRIALS)
    for name, stage in declared_stages(ROOT).items():
        assert not outs.intersection(stage["deps"]), name


def test_metrics_and_plots_are_outputs() -> None:
    measured = [name for name in STAGES if not (DECLARED[name].get("meta") or {}).get("extra")]
    assert PIPELINE["metrics"] == [
        *(f"data/{name}/metrics.json" for name in measured if name != "sources"),
        "data/paper/metrics.json",
        "data/editor_benchmark/metrics.json",
    ]
    plotted = set()
    for plot in PIPELINE["plots"]:
        name, options = (plot, {}) if isinstance(plot, str) else next(iter(plot.items()))
        y = options.get("y")
        plotted |= y.keys() if isinstance(y, dict) else {name}
    assert {Path(path).parts[1] for path in plotted} <= set(STAGES)
