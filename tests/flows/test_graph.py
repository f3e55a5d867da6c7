"""Reading the stage graph from dvc.yaml."""

from pathlib import Path

import pytest
import yaml

from facsimile.errors import FacsimileError
from flows.graph import FLOW_TARGETS, needed_by, read_graph

ROOT = Path(__file__).parents[2]

STAGES = {
    "render": {"cmd": "x", "outs": ["data/faces"]},
    "encode": {
        "cmd": "x",
        "deps": ["data/faces/train", "code"],
        "outs": [{"data/codes": {"cache": False}}],
        "meta": {"device": "gpu"},
    },
    "label": {"cmd": "x", "deps": ["data/faces"], "outs": ["data/labels"], "frozen": True},
    "fit": {"cmd": "x", "deps": ["data/labels", "./data/codes"], "outs": ["fit.json"]},
    "apart": {"cmd": "x", "deps": ["data/facesque"], "outs": ["other"]},
}


def write(root: Path, stages: dict[str, object]) -> Path:
    (root / "dvc.yaml").write_text(yaml.safe_dump({"stages": stages}, sort_keys=False))
    return root


def test_edges_follow_paths_and_their_parts(tmp_path: Path) -> None:
    graph = read_graph(write(tmp_path, STAGES))
    assert set(graph.edges) == {
        ("render", "encode"),
        ("render", "label"),
        ("encode", "fit"),
        ("label", "fit"),
    }
    assert graph.nodes["encode"]["stage"].needs_device
    assert not graph.nodes["fit"]["stage"].needs_device
    assert graph.nodes["label"]["stage"].frozen


def test_targets_bring_what_they_need_in_file_order(tmp_path: Path) -> None:
    graph = read_graph(write(tmp_path, STAGES))
    assert needed_by(graph, ["fit"]) == ["render", "encode", "label", "fit"]
    assert needed_by(graph, ["label"]) == ["render", "label"]


def test_unknown_target_is_named(tmp_path: Path) -> None:
    graph = read_graph(write(tmp_path, STAGES))
    with pytest.raises(FacsimileError, match="no stage 'edti'; stages are render, encode"):
        needed_by(graph, ["edti"])


def test_cycle_is_named(tmp_path: Path) -> None:
    stages = {
        "a": {"cmd": "x", "deps": ["two"], "outs": ["one"]},
        "b": {"cmd": "x", "deps": ["one"], "outs": ["two"]},
    }
    with pytest.raises(FacsimileError, match="cycle a → b → a"):
        read_graph(write(tmp_path, stages))


def test_folder_without_pipeline(tmp_path: Path) -> None:
    with pytest.raises(FacsimileError, match=r"dvc\.yaml: not a readable pipeline"):
        read_graph(tmp_path)


def test_a_matrix_is_one_stage_per_value(tmp_path: Path) -> None:
    trial = {
        "matrix": {"arm": ["a", "b-2"]},
        "cmd": "try ${item.arm}",
        "deps": ["data/codes"],
        "outs": [{"out/${item.arm}": {"cache": False}}],
    }
    judge = {"cmd": "x", "deps": ["out"], "outs": ["verdict"]}
    graph = read_graph(write(tmp_path, STAGES | {"trials": trial, "judge": judge}))
    assert needed_by(graph, ["judge"])[-3:] == ["trials@a", "trials@b-2", "judge"]
    assert graph.nodes["trials@b-2"]["stage"].outs == ("out/b-2",)
    assert list(graph.predecessors("trials@a")) == ["encode"]


def test_the_flows_need_all_stages_of_the_pipeline() -> None:
    graph = read_graph(ROOT, extra=True)
    needed = {flow: set(needed_by(graph, targets)) for flow, targets in FLOW_TARGETS.items()}
    assert needed["regenerate"] == set(read_graph(ROOT))
    assert set.union(*needed.values()) == set(graph)
    assert "fidelity" not in needed["editors"] and "evaluate" not in needed["editors"]


def test_stages_of_the_paper_are_left_out_unless_asked_for(tmp_path: Path) -> None:
    paper = {"cmd": "x", "deps": ["fit.json"], "outs": ["paper"], "meta": {"extra": True}}
    root = write(tmp_path, STAGES | {"paper": paper})
    assert set(read_graph(root)) == set(STAGES)
    assert needed_by(read_graph(root, extra=True), ["paper"])[-1] == "paper"
