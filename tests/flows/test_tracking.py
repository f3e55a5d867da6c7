"""MLflow: what is logged of a stage that ran."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from flows import dvc
from flows.locked import locked_stages
from flows.tracking import EXPERIMENT, Tracker, find_run, revision

STAGE = {
    "cmd": "mkdir data/fit && cp metrics.json data/fit && echo picture > data/fit/roc.png",
    "deps": ["data/faces"],
    "params": ["fit"],
    "outs": ["data/fit"],
}


def test_stage_is_logged_under_the_run_of_its_flow(
    project: Callable[..., Path], notebook: str
) -> None:
    from mlflow import MlflowClient

    root = project(fit=STAGE)
    (root / "params.yaml").write_text("fit: {alpha: 10, sizes: [1, 2], svm: {c: 0.5}}\n")
    (root / "metrics.json").write_text(json.dumps({"f1": {"real": 0.5}, "name": "x", "n": 3}))
    (root / "data").mkdir()
    (root / "data" / "faces").write_text("faces")
    commit = under_git(root)
    dvc.reproduce("fit", root, {}, print)

    tracker = Tracker(root, "brave-lion")
    tracker.log_stage("fit", 100.0, 102.5)
    tracker.close()

    client = MlflowClient(notebook)
    experiment = client.get_experiment_by_name(EXPERIMENT).experiment_id
    runs = {run.info.run_name: run for run in client.search_runs([experiment])}
    parent, stage = runs["brave-lion"], runs["fit"]
    assert stage.data.tags["mlflow.parentRunId"] == parent.info.run_id
    assert stage.data.params == {"fit.alpha": "10", "fit.sizes": "[1, 2]", "fit.svm.c": "0.5"}
    assert stage.data.metrics == {"f1.real": 0.5, "n": 3, "seconds": 2.5}
    locked = locked_stages(root)["fit"]
    assert stage.data.tags["dvc.deps.data/faces"] == locked["deps"][0]["md5"]
    assert stage.data.tags["dvc.outs.data/fit"] == locked["outs"][0]["md5"]
    (faces,) = stage.inputs.dataset_inputs
    assert (faces.dataset.name, faces.dataset.digest) == ("data/faces", locked["deps"][0]["md5"])
    assert [item.path for item in client.list_artifacts(stage.info.run_id)] == ["roc.png"]
    assert {run.info.status for run in (parent, stage)} == {"FINISHED"}

    found = find_run(root, "fit", locked)
    assert found.info.run_id == stage.info.run_id
    assert revision(found) == f"{commit}, with uncommitted changes"
    locked["outs"][0]["md5"] = "another"
    assert find_run(root, "fit", locked) is None


def under_git(root: Path) -> str:
    """Commit params.yaml, then change it. Returns the commit."""
    git = ["git", "-c", "user.name=x", "-c", "user.email=x@x"]
    for command in (["init", "-q"], ["add", "params.yaml"], ["commit", "-q", "-m", "x"]):
        subprocess.run([*git, *command], cwd=root, check=True)
    with (root / "params.yaml").open("a") as file:
        file.write("# changed")
    head = subprocess.run([*git, "rev-parse", "HEAD"], cwd=root, capture_output=True, text=True)
    return head.stdout.strip()


def test_nothing_is_opened_for_a_flow_that_ran_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    Tracker(tmp_path, "idle").close()
    assert find_run(tmp_path, "fit", {}) is None
    assert list(tmp_path.iterdir()) == []


def test_unreachable_notebook_costs_no_work(
    project: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    root = project(fit={"cmd": "echo 1 > out", "outs": ["out"]})
    dvc.reproduce("fit", root, {}, print)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    Tracker(root, "offline").log_stage("fit", 0.0, 1.0)
    assert "fit is not in MLflow" in caplog.text
