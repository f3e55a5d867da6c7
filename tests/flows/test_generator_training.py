"""Training of a generator, followed into MLflow; a script stands in for the training itself."""

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run
from typer.testing import CliRunner

from cli.app import app
from flows.generator_training import TrainingTracker
from flows.mlflow_store import EXPERIMENT
from tests.support.processes import left_after, wait_for

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]

# What tasks/generator.py leaves behind, and its command line.
STAND_IN = """
import json, sys
from pathlib import Path
options = dict(zip(sys.argv[1::2], sys.argv[2::2]))
work, out = Path(options["--work"]), Path(options["--out"])
out.mkdir(), work.mkdir()
(work / "begun.json").write_text(json.dumps({"seed": 0, "faces": options["--faces"]}))
rows = [{"phase": "prior", "step": step, "loss": 1 / step} for step in (500, 1000)]
(work / "stats.jsonl").write_text("".join(json.dumps(row) + "\\n" for row in rows))
(work / "step-000500.png").write_text("grid")
if Path(options["--faces"]).name == "bad":
    sys.exit(2)
(out / "metrics.json").write_text(json.dumps({"frechet": 3.5}))
(out / "samples.png").write_text("samples")
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "tasks").mkdir()
    (tmp_path / "tasks" / "__init__.py").touch()
    (tmp_path / "tasks" / "generator.py").write_text(STAND_IN)
    return tmp_path


@pytest.fixture
def runs(mlflow_uri: str) -> Callable[[], list[Run]]:
    """Trainings in MLflow, the newest first."""
    client = MlflowClient(mlflow_uri)
    return lambda: client.search_runs(
        [client.get_experiment_by_name(EXPERIMENT).experiment_id],
        "attributes.run_name = 'generator'",
        order_by=["attributes.start_time DESC"],
    )


def train(root: Path, faces: str) -> int:
    command = ["generator", "train", "--out", str(root / "out"), "--faces", str(root / faces)]
    return CliRunner().invoke(app, [*command, "--root", str(root)]).exit_code


def test_a_training_is_a_run_with_its_curves_and_grids(
    root: Path, runs: Callable[[], list[Run]], mlflow_uri: str
) -> None:
    assert train(root, "faces") == 0
    run = runs()[0]
    assert run.info.status == "FINISHED"
    assert run.data.params == {"seed": "0", "faces": str(root / "faces")}
    assert run.data.metrics == {"prior.loss": 1 / 1000, "frechet": 3.5}
    client = MlflowClient(mlflow_uri)
    history = client.get_metric_history(run.info.run_id, "prior.loss")
    assert [(point.step, point.value) for point in history] == [(500, 1 / 500), (1000, 1 / 1000)]
    paths = [item.path for item in client.list_artifacts(run.info.run_id)]
    assert paths == ["grids", "samples.png"]
    (grid,) = client.list_artifacts(run.info.run_id, "grids")
    assert grid.path == "grids/step-000500.png"


def test_a_training_that_failed(root: Path, runs: Callable[[], list[Run]]) -> None:
    assert train(root, "bad") == 2
    assert runs()[0].info.status == "FAILED"


def test_each_row_is_logged_once(
    root: Path, runs: Callable[[], list[Run]], mlflow_uri: str
) -> None:
    work = root / "work"
    work.mkdir()
    tracker = TrainingTracker(root, work, root / "out")
    tracker.update()  # nothing there yet
    (work / "begun.json").write_text("{}")
    rows = []
    for step in (1, 2):
        rows.append(json.dumps({"phase": "prior", "step": step, "loss": 0.5}))
        (work / "stats.jsonl").write_text("\n".join(rows))
        tracker.update()
    tracker.close("KILLED")
    run = runs()[0]
    assert run.info.status == "KILLED"
    history = MlflowClient(mlflow_uri).get_metric_history(run.info.run_id, "prior.loss")
    assert [point.step for point in history] == [1, 2]


@pytest.mark.parametrize(
    ("number", "processes"), [(signal.SIGKILL, 2), (signal.SIGTERM, 1), (signal.SIGHUP, 1)]
)
def test_a_training_ends_with_its_command(
    root: Path, marked: str, mlflow_uri: str, number: signal.Signals, processes: int
) -> None:
    stand_in = "import time; from pathlib import Path; Path('up').touch(); time.sleep(1000)"
    (root / "tasks" / "generator.py").write_text(stand_in)
    command = ["generator", "train", "--out", "out", "--processes", str(processes)]
    run = subprocess.Popen(
        [sys.executable, "-m", "cli", *command, "--root", str(root)],
        cwd=ROOT,
        stderr=subprocess.DEVNULL,
    )
    wait_for((root / "up").exists)
    run.send_signal(number)
    run.wait()
    assert left_after(5, marked) == []


def test_children_of_torchrun_end_with_it(tmp_path: Path, marked: str) -> None:
    """Each process of a training has a session of its own, and may have started others."""
    code = (
        "import subprocess, sys, time; from pathlib import Path;"
        "from facsimile.pretraining.ranks import end_with_parent; end_with_parent();"
        "subprocess.Popen(['sleep', '1000']); Path(sys.argv[1]).touch(); time.sleep(1000)"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "up")]
    starts = f"import subprocess; subprocess.run({command!r}, start_new_session=True)"
    parent = subprocess.Popen([sys.executable, "-c", starts], cwd=ROOT)
    wait_for((tmp_path / "up").exists)
    parent.kill()
    parent.wait()
    assert left_after(5, marked) == []
