"""dvc.yaml against the code of the stages: what a stage reads is what it is re-run for."""

import ast
import importlib
from pathlib import Path, PurePosixPath
from typing import Any

import networkx as nx
import pytest
import yaml

from flows.graph import read_graph
from tasks.shared.stage import sections_of

ROOT = Path(__file__).parents[2]
DECLARED: dict[str, Any] = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
STAGES = [name for name, stage in DECLARED.items() if not stage.get("frozen")]

# What these do to a result is seen at once or not at all: options, messages, file handling.
PLUMBING = {
    "facsimile.errors",
    "facsimile.faces.aus",
    "tasks.shared.exit_codes",
    "tasks.params",
    "tasks.shared.artefacts",
    "tasks.shared.stage",
}


@pytest.mark.parametrize("name", STAGES)
def test_params_are_the_sections_that_the_stage_reads(name: str) -> None:
    module = importlib.import_module(f"tasks.{name}")
    assert tuple(DECLARED[name]["params"]) == sections_of(module.run)


@pytest.mark.parametrize("name", STAGES)
def test_code_that_the_stage_imports_is_declared(name: str) -> None:
    declared = [PurePosixPath(path) for path in DECLARED[name]["deps"]]
    for module in imported(ROOT / "tasks" / f"{name}.py"):
        package = PurePosixPath(module.replace(".", "/"))
        path = package if (ROOT / package).is_dir() else package.with_suffix(".py")
        covered = any(dep == path or dep in path.parents or path in dep.parents for dep in declared)
        assert covered, f"{name} imports {module}, dvc.yaml does not list {path}"


def imported(path: Path) -> set[str]:
    """Modules of this project that a task imports, other tasks' imports included."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if not isinstance(node, ast.ImportFrom) or not node.module:
            continue
        names = [node.module]
        if node.module == "tasks":
            names = [f"tasks.{alias.name}" for alias in node.names]
        for name in names:
            if name.split(".")[0] in ("facsimile", "tasks") and name not in PLUMBING:
                found.add(name)
    return found


def test_intensity_of_edits_concerns_edits_and_what_uses_them() -> None:
    graph = read_graph(ROOT)
    assert nx.descendants(graph, "edit") == {"filter", "train", "evaluate"}
    readers = {name for name, stage in DECLARED.items() if "edit" in stage.get("params", ())}
    assert readers == {"edit"}


def test_branches_are_independent() -> None:
    graph = read_graph(ROOT)
    for one, other in (("directions", "neutralizer"), ("edit", "synthesize")):
        assert not nx.has_path(graph, one, other)
        assert not nx.has_path(graph, other, one)


def test_each_stage_owns_its_folder() -> None:
    for name in STAGES:
        assert DECLARED[name]["cmd"] == f"python -m tasks.{name}"
        assert DECLARED[name]["outs"] == [f"data/{name}"]
        assert f"/{name}\n" in (ROOT / "data" / ".gitignore").read_text()
