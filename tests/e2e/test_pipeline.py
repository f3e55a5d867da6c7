"""The real pipeline end to end: every stage on a small world and an untrained 32 px generator."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest
import torch
import yaml
from mlflow import MlflowClient

from facsimile.detection import AUOracle
from facsimile.faces.aus import AUS
from facsimile.faces.tables import decode_images, read_faces, to_tensor
from facsimile.generator import DiffAEPipeline, GeneratorConfig, LatentNetConfig, UNetConfig
from facsimile.world import iter_faces
from flows import dvc
from flows.graph import read_graph
from flows.mlflow_store import EXPERIMENT, STORE
from flows.outputs import REPORT
from tests.e2e import golden

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
SIZE = 32
OUTPUT_STD = 0.1  # moves pixels by about 10 of 255 with one standard deviation of z
SMALL = {
    "ingest": {
        "size": SIZE,
        "faces": {"world-disfa": 270, "world-celeba": 160, "world-feafa": 40, "world-bp4d": 41},
    },
    "sampling": {"steps": 2, "prior_steps": 2},
    "encode": {"neutral_per_subject": {"train": 1, "val": 1, "test": 1}},
    "editor": {"linear": {"calibration": {"faces": 2, "scales": [1.0], "epochs": 1}}},
    "neutralizer": {"width": 8, "max_epochs": 1},
    "neutral": {"faces": 6, "per_subject": 1},
    "edit": {"aus": ["AU04", "AU12"], "mixed": 1, "unannotated": {"single": 1, "mixed": 1}},
    "synthesize": {"per_cell": 1, "aus": ["AU04", "AU12"], "mixed": 1},
    "transfer": {"faces": 8},
    "filter": {"min_jaccard": 0.0, "reference_faces": 50},
    "detector": {"epoch_faces": 64, "epochs": 1},
    "baseline": {"seeds": [0]},
    "train": {"seeds": [0]},
    "evaluate": {"people": 1, "intensities": [1.0]},
}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project in a folder of its own, with small params and untrained models."""
    root = tmp_path_factory.mktemp("project")
    for name in ("facsimile", "tasks", "data/config", "data/describer"):
        shutil.copytree(ROOT / name, root / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("dvc.yaml", ".dvcignore"):
        shutil.copy(ROOT / name, root / name)
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    for section, values in SMALL.items():
        params[section] |= values
    (root / "params.yaml").write_text(yaml.safe_dump(params))

    make_generator().save_pretrained(root / "data" / "generator")
    (root / "data" / "generator" / "metrics.json").write_text('{"ssim_inverted": 0.5}')
    AUOracle(image_size=SIZE).save(root / "data" / "oracle")
    (root / "data" / "oracle" / "metrics.json").write_text('{"identity": {"threshold": 0.4}}')
    command = [sys.executable, "-m", "dvc", "init", "--no-scm", "--quiet"]
    subprocess.run(command, cwd=root, check=True)
    return root


def make_generator() -> DiffAEPipeline:
    """An untrained generator whose decoder depends on z, and so shows every edit in its pixels.

    The output layers of its residual blocks start at zero, which would hide z. They get small
    random weights instead.
    """
    torch.manual_seed(0)
    unet = UNetConfig(
        image_size=SIZE,
        model_channels=32,
        channel_mult=(1, 1),
        encoder_channel_mult=(1, 1),
        num_res_blocks=1,
        attention_resolutions=(),
        z_dim=16,
        patch_size=4,
        prediction="sample",
        encoder_pool="flatten",
    )
    prior = LatentNetConfig(hidden=16, num_layers=2, time_channels=8)
    pipeline = DiffAEPipeline(GeneratorConfig(unet, prior)).eval()
    for layer in pipeline.model.modules():
        if isinstance(layer, torch.nn.Conv2d) and not layer.weight.any():
            torch.nn.init.normal_(layer.weight, std=OUTPUT_STD)
    faces = pa.concat_tables(iter_faces("world-disfa", 64, SIZE, seed=1)).to_pandas()
    codes = pipeline.encode(to_tensor(decode_images(faces))).raw
    pipeline.conds_mean.copy_(codes.mean(0))
    pipeline.conds_std.copy_(codes.std(0))
    return pipeline


def facsimile(project: Path, *arguments: str) -> subprocess.CompletedProcess:
    """The command line in a process of its own, with a temporary Prefect server of its own."""
    environment = os.environ | {
        "PREFECT_HOME": str(project / ".prefect"),
        "FACSIMILE_WORKERS": "1",
        "OMP_NUM_THREADS": "1",
    }
    environment.pop("PREFECT_API_URL", None)
    environment.pop("MLFLOW_TRACKING_URI", None)
    command = [sys.executable, "-m", "cli", *arguments, "--root", str(project)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, cwd=ROOT)


def kill_once(data: Path, stage: str, killed: list[int]) -> None:
    """Kill -9 the process of a stage as soon as it has begun to write."""
    while not killed:
        for folder in data.glob(f".{stage}.*.tmp"):
            killed.append(int(folder.name.split(".")[2]))
            os.kill(killed[0], signal.SIGKILL)
        time.sleep(0.02)


def check_mlflow(project: Path, metrics: dict[str, Any]) -> None:
    """Every run in MLflow has ended and says all; the one of the last flow sums it up."""
    client = MlflowClient(f"sqlite:///{project / STORE}")
    experiment = client.get_experiment_by_name(EXPERIMENT)
    runs = client.search_runs([experiment.experiment_id], order_by=["attributes.start_time DESC"])
    assert {run.info.status for run in runs} <= {"FINISHED", "FAILED", "KILLED"}
    parent = next(run for run in runs if "mlflow.parentRunId" not in run.data.tags)
    assert parent.info.status == "FINISHED"
    sections = yaml.safe_load((project / "params.yaml").read_text())
    assert {name.split(".")[0] for name in parent.data.params} == set(sections)
    mean = metrics["f1"]["real+generated"]["mean"]
    assert parent.data.metrics["f1.real:plus:generated.mean"] == mean
    found = {item.path for item in client.list_artifacts(parent.info.run_id)}
    assert found == {"report.html", "contact_sheet.png"}
    children = {
        run.info.run_name: run
        for run in runs
        if run.data.tags.get("mlflow.parentRunId") == parent.info.run_id
    }
    evaluate = children["evaluate"]
    assert evaluate.info.status == "FINISHED" and "evaluate.people" in evaluate.data.params
    assert evaluate.data.metrics["f1.real:plus:generated.mean"] == mean


def test_pipeline(project: Path, request: pytest.FixtureRequest) -> None:
    killed: list[int] = []
    threading.Thread(target=kill_once, args=(project / "data", "edit", killed), daemon=True).start()
    result = facsimile(project, "demo")
    assert result.returncode == 0, result.stdout + result.stderr
    assert killed, "the edit stage was not killed on its way"

    report = project / REPORT
    assert result.stdout.splitlines()[-1] == str(report)
    page = report.read_text()
    assert "<html" in page and "http://" not in page.split("<body", 1)[0]

    data = project / "data"
    assert not list(data.glob(".*.tmp")), "a half-written folder is left"
    edited = read_faces(data / "edit" / "faces")
    neutral = json.loads((data / "edit" / "metrics.json").read_text())
    assert neutral["unannotated_faces"] == 6
    assert len(edited) == 3 * neutral["neutral_faces"] + 2 * 6 and set(edited["split"]) == {"train"}
    assert set(edited["dataset"]) == {"world-disfa", "world-celeba"}
    lock = yaml.safe_load((project / "dvc.lock").read_text())["stages"]
    weights = next(
        dep for dep in lock["edit"]["deps"] if dep["path"].endswith("generator.safetensors")
    )
    assert set(edited["generator_md5"]) == {weights["md5"]}
    # Labels are handed on as detectors of the real faces corrected them.
    accepted = read_faces(data / "filter" / "faces").set_index("sample_id")
    planned = edited.set_index("sample_id").reindex(accepted.index)[list(AUS)].dropna()
    assert (accepted.loc[planned.index, list(AUS)] != planned).any(axis=None)
    for name in ("model.safetensors", "config.json"):
        baseline, arm = (data / folder / "seed-0" / name for folder in ("baseline", "train/real"))
        assert baseline.read_bytes() == arm.read_bytes()
    metrics = json.loads((data / "evaluate" / "metrics.json").read_text())
    assert set(metrics["f1"]) == {"real", "real+generated"}
    assert set(metrics["cross_dataset"]) == {"world-feafa", "world-bp4d"}
    effects = pd.read_parquet(data / "evaluate" / "edit_effects.parquet").set_index("edited_au")
    assert effects.loc[["AU04", "AU12"], list(AUS)].notna().all(axis=None)
    check_mlflow(project, metrics)
    golden.check(data, update=request.config.getoption("--update-golden"))

    synthetic = read_faces(data / "synthesize" / "faces")
    mixed = synthetic.loc[synthetic["edited_au"].isna(), "sample_id"].iloc[0]
    rebuilt = facsimile(project, "lineage", "--rebuild", mixed)
    assert rebuilt.returncode == 0, rebuilt.stdout + rebuilt.stderr

    again = facsimile(project, "demo")
    assert again.returncode == 0, again.stdout + again.stderr
    assert again.stdout.count("Cached") >= len(lock)
    assert "Completed" not in again.stdout

    # Another intensity concerns the edits and what is made of them, nothing else.
    params = yaml.safe_load((project / "params.yaml").read_text())
    params["edit"]["intensity"] = 0.6
    (project / "params.yaml").write_text(yaml.safe_dump(params))
    pipeline = set(read_graph(project))
    assert pipeline.intersection(dvc.stale_stages(project)) == {"edit"}
    status = facsimile(project, "status").stdout.splitlines()
    behind = {line.split()[0] for line in status if " behind " in line}
    assert behind == {"filter", "train", "evaluate"}
    assert pipeline == set(lock)
