"""A small project under git and DVC, whose data can be published as versions."""

import json
import shutil
import subprocess
from pathlib import Path

import pandas as pd
import yaml

from facsimile.digests import file_md5
from facsimile.faces.tables import FACE_SCHEMA, GENERATED_SCHEMA, write_shards
from flows import dvc
from tests.support.faces import face_table
from tests.support.project import write_params

STAGES = {
    "ingest": {"cmd": "cp -r made/ingest data/ingest", "deps": ["made/ingest"]},
    "filter": {
        "cmd": "cp -r made/filter data/filter",
        "deps": ["data/ingest", "made/filter", "code.py"],
        "params": ["filter"],
    },
    "evaluate": {"cmd": "cp -r made/evaluate data/evaluate", "deps": ["data/filter"]},
    "model": {
        "cmd": "cp weights data/model/weights",
        "deps": ["weights"],
        "outs": [{"data/model/weights": {"cache": False}}],
        "frozen": True,
    },
}


def stages() -> dict[str, dict[str, object]]:
    """Stages that copy files which the test has made."""
    declared = {name: {"outs": [f"data/{name}"], **body} for name, body in STAGES.items()}
    declared["evaluate"]["deps"] = ["data/filter", "made/evaluate"]
    return declared


def git(root: Path, *arguments: str) -> str:
    command = ["git", *arguments]
    return subprocess.run(command, cwd=root, check=True, capture_output=True, text=True).stdout


def set_up(root: Path) -> None:
    """Write inputs, code and params to a folder with DVC, commit them, and run all stages."""
    (root / ".dvc" / "config").write_text("[core]\n    analytics = false\n")
    (root / ".dvc" / ".gitignore").write_text("/config.local\n/tmp\n/cache\n")
    (root / "dvc.yaml").write_text(yaml.safe_dump({"stages": stages()}, sort_keys=False))
    write_params(root, {})
    (root / "code.py").write_text("print('first')\n")
    (root / "README.md").write_text("A project.\n")
    (root / "weights").write_text("weights\n")
    (root / "data" / "model").mkdir(parents=True)
    (root / "data" / "model" / "weights").write_text("weights\n")
    (root / ".gitignore").write_text("/.facsimile/\n/mlruns/\n/mlflow.db*\n")
    (root / "data" / ".gitignore").write_text("/ingest\n/filter\n/evaluate\n")
    real = face_table([f"S{n}/{n}" for n in range(6)], AU12=[0, 0, 0, 0.5, 0.8, 1], male=1, age=0.9)
    write_shards([real], root / "made" / "ingest" / "world-disfa", FACE_SCHEMA)
    write_generated(root, edited=4)
    (root / "made" / "evaluate").mkdir()
    write_figures(root, 0.5)
    git(root, "init", "-q", "-b", "main")
    git(root, "config", "user.name", "Anna")
    git(root, "config", "user.email", "anna@example.org")
    commit(root)
    run_stages(root)


def write_generated(root: Path, edited: int, synthetic: int = 2) -> None:
    """Write the faces that the filter accepts; on all of them AU12 is active."""
    counts = {"edited": edited, "synthetic": synthetic}
    tables = [
        face_table([f"{origin}/{n}" for n in range(count)], origin=origin, AU12=0.7, male=0, age=0)
        for origin, count in counts.items()
    ]
    write_shards([pd.concat(tables)], root / "made" / "filter" / "faces", GENERATED_SCHEMA)


def write_figures(root: Path, f1: float) -> None:
    metrics = {"f1": {"real": {"mean": 0.25}, "real+generated": {"mean": f1}}}
    (root / "made" / "evaluate" / "metrics.json").write_text(json.dumps(metrics))
    (root / "made" / "evaluate" / "report.html").write_text("<html>")


def commit(root: Path) -> str:
    """Commit everything except dvc.lock. Returns the commit."""
    git(root, "add", "--all", "--", ".", ":!dvc.lock")
    git(root, "commit", "-q", "-m", "Change the project")
    return git(root, "rev-parse", "HEAD").strip()


def run_stages(root: Path, *names: str) -> None:
    for stage in names or ("ingest", "filter", "evaluate"):
        dvc.reproduce(stage, root, {}, print)


def wipe(root: Path) -> None:
    """Delete the data, DVC's cache, and what DVC knows about both."""
    for folder in ("data", ".dvc/cache", ".facsimile"):
        shutil.rmtree(root / folder)


def hashes(root: Path) -> dict[str, str]:
    """Hash of params.yaml, dvc.lock and each file in data/."""
    files = [path for path in (root / "data").rglob("*") if path.is_file()]
    return {
        str(path.relative_to(root)): file_md5(path)
        for path in (*files, root / "params.yaml", root / "dvc.lock")
    }
