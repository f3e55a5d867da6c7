"""Retraining in continuous integration: a promotion, a refusal, and nothing to do."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from click.testing import Result
from typer.testing import CliRunner

from cli.app import app
from facsimile.errors import FacsimileError
from flows.model_registry import ModelRegistry
from flows.retraining import find_changes
from tests.support.detectors import train, write_faces

pytestmark = pytest.mark.usefixtures("prefect_server")

TOLERANT = ("--margin=0.1", "--au-tolerance=0.3")
STAGES = {
    # Which detectors are trained depends on the params, as in the real pipeline.
    "train": {
        "cmd": "mkdir -p data && cp -r trained/$(cat code/chosen) data/train",
        "deps": ["code", "trained"],
        "outs": ["data/train"],
    },
    "evaluate": {
        "cmd": "mkdir -p data/evaluate && cp trained/$(cat code/chosen).json "
        "data/evaluate/metrics.json && touch data/evaluate/report.html",
        "deps": ["data/train", "code", "trained"],
        "outs": ["data/evaluate"],
    },
}


def git(root: Path, *arguments: str) -> None:
    command = ["git", "-c", "user.name=x", "-c", "user.email=x@x", *arguments]
    subprocess.run(command, cwd=root, check=True, capture_output=True)


def facsimile(root: Path, *arguments: str) -> Result:
    return CliRunner().invoke(app, [*arguments, "--root", str(root)])


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project under git on branch `main`, with three detectors to choose from; `fair` is used."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)
    root = tmp_path / "project"
    root.mkdir()
    git(root, "init", "-q", "-b", "main")
    subprocess.run([sys.executable, "-m", "dvc", "init", "-q"], cwd=root, check=True)
    write_faces(root)
    for name, inverted, f1 in (("fair", "AU12", 0.5), ("good", "", 0.75), ("bad", "AU04", 0.25)):
        train(root, inverted=[inverted] if inverted else [])
        (root / "data" / "train").rename(root / name)
        (root / "trained").mkdir(exist_ok=True)
        (root / name).rename(root / "trained" / name)
        metrics = {"f1": {"real": {"mean": 0.5}, "real+generated": {"mean": f1}}}
        (root / "trained" / f"{name}.json").write_text(json.dumps(metrics))
    pipeline = {"stages": STAGES, "metrics": ["data/evaluate/metrics.json"]}
    (root / "dvc.yaml").write_text(yaml.safe_dump(pipeline))
    (root / ".gitignore").write_text("/data/\n/mlflow.db\n/mlruns/\n/.facsimile/\n/build/\n")
    choose(root, "fair")
    assert facsimile(root, "run", "evaluate").exit_code == 0
    git(root, "add", "-A")
    git(root, "commit", "-q", "-m", "first")
    git(root, "checkout", "-q", "-b", "work")
    return root


def choose(root: Path, name: str) -> None:
    (root / "code").mkdir(exist_ok=True)
    (root / "code" / "chosen").write_text(name)


def champion(root: Path) -> int:
    return ModelRegistry(root).require("champion").number


def test_a_promotion_and_a_refusal(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    summary = root.parent / "summary.md"
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    choose(root, "good")
    result = facsimile(root, "retrain-ci", "--base", "main", "--no-promote", *TOLERANT)
    assert result.exit_code == 0, result.output
    assert "version 2 may be promoted" in result.stdout and champion(root) == 1

    result = facsimile(root, "retrain-ci", "--base", "main", *TOLERANT)
    assert result.exit_code == 0 and champion(root) == 2
    text = (root / "build" / "retraining.md").read_text()
    assert text.startswith("# Retraining: version 2 is promoted")
    assert "- `code/chosen`" in text
    assert "| f1.real+generated.mean | 0.5000 | 0.7500 | +0.2500 |" in text
    assert "| AU12 | 0." in text and "xychart-beta" in text
    assert "| train | " in text
    first, second = summary.read_text().split("# Retraining: ")[1:]
    assert first.startswith("version 2 may be promoted")
    assert second.startswith("version 2 is promoted")

    choose(root, "bad")
    git(root, "commit", "-q", "-a", "-m", "a change for the worse")
    report = root.parent / "report.md"
    result = facsimile(root, "retrain-ci", "--base", "main", f"--report={report}", "--margin=1")
    assert result.exit_code == 0, result.output
    assert "version 3 is refused" in result.stderr and champion(root) == 2
    text = report.read_text()
    assert text.startswith("# Retraining: version 3 is refused\n\n- AU")
    assert "AU04: F1 0." in text


def test_nothing_to_retrain(root: Path) -> None:
    (root / "README.md").write_text("Only words.")
    git(root, "add", "-A")
    git(root, "commit", "-q", "-m", "words")
    shutil.rmtree(root / "data")  # as in a fresh checkout
    result = facsimile(root, "retrain-ci", "--base", "main")
    assert result.exit_code == 0 and result.stdout.startswith("nothing to retrain; report: ")
    assert not (root / "data").exists(), "stages ran although nothing has changed"


def test_a_failed_stage_is_reported(root: Path) -> None:
    choose(root, "absent")
    result = facsimile(root, "retrain-ci", "--base", "main")
    assert result.exit_code == 1
    text = (root / "build" / "retraining.md").read_text()
    assert text.startswith("# Retraining: failed: train: ") and "| train | Failed |" in text


def test_an_unreachable_registry_is_reported(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    choose(root, "good")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    result = facsimile(root, "retrain-ci", "--base", "main")
    assert result.exit_code == 2
    text = (root / "build" / "retraining.md").read_text()
    assert "failed: MLflow at http://127.0.0.1:9: Connection refused" in text
    assert "| train | Completed |" in text


def test_an_unknown_base(root: Path) -> None:
    with pytest.raises(FacsimileError, match=r"changes since nowhere: .*nowhere"):
        find_changes(root, "nowhere")
    with pytest.raises(FacsimileError, match="changes since --all"):
        find_changes(root, "--all")
