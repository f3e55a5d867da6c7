"""MLflow: what is logged of a flow and its stages, and what becomes of runs that do not finish."""

import json
import math
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from mlflow import MlflowClient
from mlflow.entities import Run
from sqlalchemy.exc import OperationalError
from typer.testing import CliRunner

from cli.app import app
from facsimile.faces.arms import training_arms
from facsimile.faces.aus import AUS
from facsimile.files import to_json
from facsimile.measurement import (
    DetectorRun,
    DomainScores,
    oracle_metrics,
    score_correlations,
    score_detectors,
    score_edits,
    score_neutralization,
)
from flows import dvc, events, mlflow_runs, process_identity
from flows.mlflow_names import decode
from flows.mlflow_runs import NOTE, REASON, revision_of
from flows.mlflow_store import EXPERIMENT
from flows.outputs import read_metrics
from flows.run_params import RunParams
from flows.tracking import Tracker, find_run, sync
from tasks.provenance.dvc_files import locked_stages
from tasks.provenance.git import Revision

ROOT = Path(__file__).parents[2]
ARMS = tuple(training_arms())
STAGE = {
    "cmd": "mkdir data/fit && cp metrics.json data/fit && echo picture > data/fit/roc.png",
    "deps": ["data/faces"],
    "params": ["fit"],
    "outs": ["data/fit"],
}


@pytest.fixture
def children(mlflow_uri: str) -> Callable[[str], tuple[Run, dict[str, Run]]]:
    """Finds a flow run by name, and its nested runs by theirs, in the store of the session."""
    client = MlflowClient(mlflow_uri)

    def find(name: str) -> tuple[Run, dict[str, Run]]:
        experiment = client.get_experiment_by_name(EXPERIMENT).experiment_id
        (parent,) = client.search_runs([experiment], f"attributes.run_name = '{name}'")
        query = f"tags.mlflow.parentRunId = '{parent.info.run_id}'"
        nested = client.search_runs([experiment], query)
        return parent, {run.info.run_name: run for run in nested}

    return find


@pytest.fixture(scope="module")
def fitted_once(tmp_path_factory: pytest.TempPathFactory, empty_project: Path) -> Path:
    root = tmp_path_factory.mktemp("fitted")
    shutil.copytree(empty_project / ".dvc", root / ".dvc")
    (root / "dvc.yaml").write_text(yaml.safe_dump({"stages": {"fit": STAGE}}))
    (root / "params.yaml").write_text("fit: {alpha: 10, sizes: [1, 2], svm: {c: 0.5}}\nother: {}\n")
    (root / "metrics.json").write_text(json.dumps({"f1": {"real": 0.5}, "name": "x", "n": 3}))
    (root / "data").mkdir()
    (root / "data" / "faces").write_text("faces")
    dvc.reproduce("fit", root, {}, print)
    return root


@pytest.fixture
def fitted(fitted_once: Path, tmp_path: Path) -> Path:
    """A project whose stage `fit` has run."""
    return shutil.copytree(fitted_once, tmp_path / "fitted")


def under_git(root: Path) -> str:
    """Commit params.yaml, then change it. Returns the commit."""
    git = ["git", "-c", "user.name=x", "-c", "user.email=x@x"]
    for command in (["init", "-q"], ["add", "params.yaml"], ["commit", "-q", "-m", "x"]):
        subprocess.run([*git, *command], cwd=root, check=True)
    with (root / "params.yaml").open("a") as file:
        file.write("# changed")
    head = subprocess.run([*git, "rev-parse", "HEAD"], cwd=root, capture_output=True, text=True)
    return head.stdout.strip()


def artifacts(uri: str, run: Run) -> list[str]:
    return [item.path for item in MlflowClient(uri).list_artifacts(run.info.run_id)]


def test_stage_is_logged_under_the_run_of_its_flow(
    fitted: Path, mlflow_uri: str, children: Callable[[str], tuple[Run, dict[str, Run]]]
) -> None:
    commit = under_git(fitted)
    tracker = Tracker(fitted, "brave-lion", RunParams(fitted).values)
    tracker.log_stage("fit", 100.0, 102.5)
    tracker.close("FINISHED", {"fit": "Completed"})
    assert tracker.failure == ""

    parent, nested = children("brave-lion")
    stage = nested["fit"]
    assert parent.data.params == {
        "fit.alpha": "10",
        "fit.sizes": "[1, 2]",
        "fit.svm.c": "0.5",
        "other": "{}",
    }
    assert parent.data.tags["facsimile.stage.fit"] == "Completed"
    assert stage.data.params == {"fit.alpha": "10", "fit.sizes": "[1, 2]", "fit.svm.c": "0.5"}
    assert stage.data.metrics == {"f1.real": 0.5, "n": 3, "seconds": 2.5}
    locked = locked_stages(fitted)["fit"]
    assert stage.data.tags["dvc.deps.data/faces"] == locked["deps"][0]["md5"]
    assert stage.data.tags["dvc.outs.data/fit"] == locked["outs"][0]["md5"]
    (faces,) = stage.inputs.dataset_inputs
    assert (faces.dataset.name, faces.dataset.digest) == ("data/faces", locked["deps"][0]["md5"])
    assert artifacts(mlflow_uri, stage) == ["roc.png"]
    assert {run.info.status for run in (parent, stage)} == {"FINISHED"}

    found = find_run(fitted, "fit", locked)
    assert found.info.run_id == stage.info.run_id
    assert str(revision_of(found)) == f"{commit}, with uncommitted changes"
    locked["outs"][0]["md5"] = "another"
    assert find_run(fitted, "fit", locked) is None


def evaluation() -> dict[str, Any]:
    """metrics.json of the evaluation, with all arms."""
    rng = np.random.default_rng(0)
    labels = rng.random((60, 12)) * (rng.random((60, 12)) > 0.5)
    people = [f"p{n % 6}" for n in range(60)]
    thresholds = np.full(12, 0.3)
    detectors = [
        DetectorRun(arm, seed, rng.random((60, 12)), thresholds) for arm in ARMS for seed in (0, 1)
    ]
    scores = score_detectors(labels, people, detectors)
    edited = pd.DataFrame({"edited_au": list(AUS) * 5, "intensity": 0.5})
    embeddings = rng.random((2, 60, 4))
    return to_json(
        {
            **DomainScores({"own": scores, "world-feafa": scores, "world-bp4d": scores}).metrics(),
            **score_correlations(labels, rng.random((60, 12)), rng.random((60, 12))).metrics(),
            "oracle": oracle_metrics(labels, rng.random((60, 12))),
            **score_edits(labels, rng.random((60, 12)), *embeddings, edited, 0.4).metrics(),
            **score_neutralization(
                labels, labels / 2, val_labels=labels, val_predictions=labels
            ).metrics(),
            "filter": {
                "candidates": 50,
                "acceptance_by_origin": {"edited": 0.5},
                "accepted_by_au": {"AU04": 3},
                "rejected_by_reason": {"label (Jaccard < 0.5)": 2, "off-manifold": 1},
            },
            "generator": {"frechet": 3.5, "undefined": math.nan},
        }
    )


@pytest.fixture
def pipeline(tmp_path: Path) -> Path:
    """What a run of the whole pipeline leaves: real params, stages and arms; figures made up."""
    declared = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
    text = (ROOT / "params.yaml").read_text()
    (tmp_path / "params.yaml").write_text(text)
    params = yaml.safe_load(text)
    locked = {}
    for stage, body in declared.items():
        folder = tmp_path / "data" / stage
        folder.mkdir(parents=True)
        metrics = (
            evaluation()
            if stage == "evaluate"
            else {"faces": 3, "by_arm": dict.fromkeys(ARMS, 0.5)}
        )
        (folder / "metrics.json").write_text(json.dumps(metrics))
        outs = [next(iter(out)) if isinstance(out, dict) else out for out in body["outs"]]
        locked[stage] = {
            "cmd": body["cmd"],
            "deps": [{"path": path, "md5": "0" * 32 + ".dir"} for path in body["deps"]],
            "params": {"params.yaml": {name: params[name] for name in body["params"]}},
            "outs": [{"path": path, "md5": "1" * 32} for path in outs],
        }
    (tmp_path / "dvc.lock").write_text(yaml.safe_dump({"schema": "2.0", "stages": locked}))
    (tmp_path / "data" / "evaluate" / "report.html").write_text("<html>")
    (tmp_path / "data" / "evaluate" / "contact_sheet.png").write_text("picture")
    return tmp_path


@pytest.mark.slow
def test_whole_pipeline_is_read_back(
    pipeline: Path, mlflow_uri: str, children: Callable[[str], tuple[Run, dict[str, Run]]]
) -> None:
    stages = list(locked_stages(pipeline))
    tracker = Tracker(pipeline, "whole", RunParams(pipeline).values)
    for stage in stages:
        tracker.log_stage(stage, 0.0, 1.0)
    tracker.close("FINISHED", dict.fromkeys(stages, "Completed"))
    assert tracker.failure == ""

    parent, nested = children("whole")
    assert nested.keys() == set(stages)
    for stage, run in nested.items():
        assert run.info.status == "FINISHED"
        metrics = {decode(name): value for name, value in run.data.metrics.items()}
        assert metrics == read_metrics(pipeline, stage) | {"seconds": 1.0}
    assert len(nested["evaluate"].data.metrics) > 400
    assert nested["train"].data.params["train.arms"] == "['real', 'real+generated']"

    assert parent.info.status == "FINISHED"
    sections = yaml.safe_load((ROOT / "params.yaml").read_text())
    assert {name.split(".")[0] for name in parent.data.params} == set(sections)
    assert artifacts(mlflow_uri, parent) == ["contact_sheet.png", "report.html"]
    headline = {decode(name): value for name, value in parent.data.metrics.items()}
    figures = evaluation()
    for arm in ARMS:
        assert headline[f"f1.{arm}.mean"] == figures["f1"][arm]["mean"]
        assert headline[f"au_pair_fpr.{arm}.mean"] == figures["au_pair_fpr"][arm]["mean"]
    arm = figures["f1"]["real+transferred"]
    assert headline["gain.real+transferred"] == arm["mean"] - figures["f1"]["real"]["mean"]
    assert headline["f1.real+transferred.gain_interval.0"] == arm["gain_interval"][0]
    abroad = figures["cross_dataset"]["world-bp4d"]["f1"]["real"]["mean"]
    assert headline["cross_dataset.world-bp4d.f1.real.mean"] == abroad
    assert {f"inter_au_correlation.{name}" for name in figures["inter_au_correlation"]} <= set(
        headline
    )
    assert len(headline) < 200 and not any("per_au" in name for name in headline)


def test_any_number_of_values(
    fitted: Path, children: Callable[[str], tuple[Run, dict[str, Run]]]
) -> None:
    """More than MLflow takes at once, and values that are none for it."""
    metrics = {"many": list(range(2500)), "text": "x", "nothing": None, "yes": True}
    (fitted / "data" / "fit" / "metrics.json").write_text(
        json.dumps(metrics | {"inf": math.inf, "nan": math.nan})
    )
    lock = yaml.safe_load((fitted / "dvc.lock").read_text())
    params = {f"+{n}": n for n in range(250)} | {"long": "x" * 9000, "empty": ""}
    deps = [{"path": f"data/{n}, #{n}.csv", "md5": "0" * 32} for n in range(250)]
    lock["stages"]["fit"] |= {"params": {"params.yaml": params}, "deps": deps}
    (fitted / "dvc.lock").write_text(yaml.safe_dump(lock))
    tracker = Tracker(fitted, "many", params)
    tracker.log_stage("fit", 0.0, 1.0)
    tracker.close()
    assert tracker.failure == ""
    parent, nested = children("many")
    run = nested["fit"]
    assert run.info.status == parent.info.status == "FINISHED"
    assert [run.data.metrics[f"many.{n}"] for n in range(2500)] == list(range(2500))
    assert run.data.metrics["yes"] == 1 and run.data.metrics["inf"] > 1e300
    assert math.isnan(run.data.metrics["nan"])
    for data in (run.data, parent.data):
        assert {decode(name) for name in data.params} == set(params)
        assert len(data.params["long"]) == 6000 and data.params["empty"] == ""
    assert sum(decode(name).startswith("dvc.deps.data/") for name in run.data.tags) == 250


def test_a_stage_that_failed_is_a_failed_run(
    fitted: Path, children: Callable[[str], tuple[Run, dict[str, Run]]]
) -> None:
    tracker = Tracker(fitted, "unlucky")
    tracker.log_failure("fit", 0.0, "fit: killed by SIGKILL")
    tracker.close("FAILED", {"fit": "Failed", "evaluate": "Not run"}, "fit: killed by SIGKILL")
    parent, nested = children("unlucky")
    for run in (parent, nested["fit"]):
        assert run.info.status == "FAILED"
        assert run.data.tags[REASON] == run.data.tags[NOTE] == "fit: killed by SIGKILL"
    assert nested["fit"].data.metrics.keys() == {"seconds"}
    assert parent.data.tags["facsimile.stage.evaluate"] == "Not run"


def test_headline_of_an_earlier_run_is_not_claimed(
    pipeline: Path, mlflow_uri: str, children: Callable[[str], tuple[Run, dict[str, Run]]]
) -> None:
    tracker = Tracker(pipeline, "cut short")
    tracker.log_stage("ingest", 0.0, 1.0)
    tracker.close("FAILED", {"ingest": "Completed", "evaluate": "Not run"}, "edit: no")
    parent, _ = children("cut short")
    assert parent.data.metrics == {} and artifacts(mlflow_uri, parent) == []


def test_nothing_is_logged_once_the_flow_has_ended(
    fitted: Path, children: Callable[[str], tuple[Run, dict[str, Run]]]
) -> None:
    tracker = Tracker(fitted, "interrupted")
    tracker.log_stage("fit", 0.0, 1.0)
    tracker.close("KILLED", reason="KeyboardInterrupt()")
    tracker.log_failure("fit", 0.0, "fit: killed by SIGKILL")
    tracker.close("FINISHED")
    parent, nested = children("interrupted")
    assert parent.info.status == "KILLED"
    assert nested["fit"].info.status == "FINISHED"


def test_a_commit_made_during_the_run_is_not_claimed(
    fitted: Path, children: Callable[[str], tuple[Run, dict[str, Run]]]
) -> None:
    commit = under_git(fitted)
    tracker = Tracker(fitted, "early")
    git = ["git", "-c", "user.name=x", "-c", "user.email=x@x", "commit", "-qam", "meanwhile"]
    subprocess.run(git, cwd=fitted, check=True)
    tracker.log_stage("fit", 0.0, 1.0)
    tracker.close()
    parent, nested = children("early")
    for run in (parent, nested["fit"]):
        assert revision_of(run) == Revision(commit, changed=True)


def test_a_run_that_could_not_be_logged_in_full_is_failed(
    fitted: Path,
    children: Callable[[str], tuple[Run, dict[str, Run]]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whatever the error: of the database, the disk or the network."""
    errors = iter(
        (OperationalError("INSERT", {}, Exception("disk I/O error")), OSError(28, "full"))
    )

    def fail(*_: object) -> None:
        raise next(errors)

    tracker = Tracker(fitted, "half")
    with monkeypatch.context() as patch:
        patch.setattr(MlflowClient, "log_artifact", fail)
        for _ in range(2):
            tracker.log_stage("fit", 0.0, 1.0)
    tracker.log_failure("other", 0.0, "no")
    tracker.close()
    assert tracker.failure.startswith("fit not logged to MLflow at sqlite://")
    assert "disk I/O error" in tracker.failure
    parent, nested = children("half")
    assert parent.info.status == "FINISHED"
    assert nested["fit"].info.status == nested["other"].info.status == "FAILED"
    assert "not fully logged" in nested["fit"].data.tags[NOTE]


def test_what_could_not_be_logged_is_logged_by_the_next_run(
    pipeline: Path,
    mlflow_uri: str,
    children: Callable[[str], tuple[Run, dict[str, Run]]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Params, a stage of which a part was logged, and the outcome with its artifacts."""
    with monkeypatch.context() as patch:
        log_batch = MlflowClient.log_batch

        def refuse(self: MlflowClient, run: str, *arguments: Any, **entries: Any) -> None:
            if entries.get("params") or "facsimile.stage" in str(entries.get("tags")):
                raise ValueError("refused")
            log_batch(self, run, *arguments, **entries)

        patch.setattr(MlflowClient, "log_batch", refuse)
        earlier = Tracker(pipeline, "bare", {"a": 1})
        earlier.log_stage("evaluate", 0.0, 1.0)
        earlier.close("FAILED", {"evaluate": "Completed"}, "later: no")
    assert earlier.failure.startswith("params, evaluate, the outcome not logged to MLflow at")
    figures = artifacts(mlflow_uri, children("bare")[1]["evaluate"])
    shutil.rmtree(pipeline / "data" / "evaluate")  # replaced by the next run

    Tracker(pipeline, "afterwards").log_failure("evaluate", 0.0, "no")
    parent, nested = children("bare")
    assert parent.data.params == {"a": "1"}
    assert (parent.info.status, nested["evaluate"].info.status) == ("FAILED", "FINISHED")
    assert parent.data.metrics and "report.html" in artifacts(mlflow_uri, parent)
    assert len(artifacts(mlflow_uri, nested["evaluate"])) > len(figures)
    assert sync(pipeline) == (0, "")


def test_a_store_that_did_not_respond_is_filled_later(
    fitted: Path,
    mlflow_uri: str,
    children: Callable[[str], tuple[Run, dict[str, Run]]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    tracker = Tracker(fitted, "offline for now")
    tracker.log_stage("fit", 100.0, 102.5)
    tracker.close("FINISHED", {"fit": "Completed"})
    logged, failure = sync(fitted)
    assert logged == 0 and failure.endswith("Connection refused")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", mlflow_uri)
    events.take_notes()  # those of other tests
    result = CliRunner().invoke(app, ["sync-mlflow", "--root", str(fitted)])
    assert result.output == "3 logged\n"
    parent, nested = children("offline for now")
    assert parent.data.tags["facsimile.stage.fit"] == "Completed"
    assert nested["fit"].data.metrics["f1.real"] == 0.5
    assert {parent.info.status, nested["fit"].info.status} == {"FINISHED"}
    assert (nested["fit"].info.start_time, nested["fit"].info.end_time) == (100_000, 102_500)


def test_runs_of_a_process_that_was_killed_are_ended_by_the_next(
    fitted: Path,
    children: Callable[[str], tuple[Run, dict[str, Run]]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tracker = Tracker(fitted, "alive")
    tracker.log_stage("fit", 0.0, 1.0)
    host, pid, started = process_identity.this_process().rsplit(" ", 2)
    others = {
        "gone": f"{host} 4194305 {started}",
        "same id": f"{host} {pid} {float(started) - 900:.0f}",
        "elsewhere": f"elsewhere-{os.getpid()} 4194305 {started}",
    }
    for name, process in others.items():
        with monkeypatch.context() as patch:
            patch.setattr(mlflow_runs, "this_process", lambda process=process: process)
            Tracker(fitted, name).log_stage("fit", 0.0, 1.0)
    following = Tracker(fitted, "following")
    following.log_stage("fit", 0.0, 1.0)
    status = {name: children(name)[0].info.status for name in ("alive", "following", *others)}
    assert status == {
        "alive": "RUNNING",
        "following": "RUNNING",
        "gone": "KILLED",
        "same id": "KILLED",
        "elsewhere": "RUNNING",
    }


def test_nothing_is_opened_for_a_flow_that_ran_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    Tracker(tmp_path, "idle").close()
    assert find_run(tmp_path, "fit", {}) is None
    assert list(tmp_path.iterdir()) == []


def test_unreachable_store_costs_no_work(fitted: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    tracker = Tracker(fitted, "offline")
    tracker.log_stage("fit", 0.0, 1.0)
    tracker.log_failure("evaluate", 0.0, "no")
    tracker.close()
    assert tracker.failure == (
        "this run not logged to MLflow at http://127.0.0.1:9: Connection refused; the next run "
        "logs it, or `facsimile sync-mlflow`"
    )
