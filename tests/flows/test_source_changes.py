"""Files of your own: a change runs what reads them again, and nothing runs where none has."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from cli.app import app
from flows import dvc
from tests.support.processes import ran

ROOT = Path(__file__).parents[2]
DECLARED = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]["sources"]
STAGES = {
    "sources": {**DECLARED, "deps": []},
    "ingest": {
        "cmd": "echo ingest >> log && mkdir -p data/ingest && cp mine/faces.csv data/ingest",
        "deps": ["data/sources"],
        "outs": ["data/ingest"],
    },
    "encode": {"cmd": "echo encode >> log && cp -r data/ingest e", "deps": ["data/ingest"]},
}


@pytest.fixture
def mine(project: Callable[..., Path]) -> Path:
    """A project with a table of two pictures, whose stages have run by DVC alone."""
    root = project(**{k: v if "outs" in v else {**v, "outs": ["e"]} for k, v in STAGES.items()})
    set_params(root, {"my-faces": "mine/faces.csv"})
    (root / "mine").mkdir()
    for name in ("0.png", "1.png"):
        (root / "mine" / name).write_text(name)
    (root / "mine" / "faces.csv").write_text("image_path,subject_id\n0.png,a\n1.png,b\n")
    repro(root)
    return root


def set_params(root: Path, paths: dict[str, str], **ingest: object) -> None:
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    params["datasets"]["aus"] = next(iter(paths), "world-disfa")
    params["ingest"] |= {"paths": paths, **ingest}
    (root / "params.yaml").write_text(yaml.safe_dump(params))


def repro(root: Path) -> None:
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    result = subprocess.run(
        [sys.executable, "-m", "dvc", "repro"],
        cwd=root,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stdout + result.stderr


def test_dvc_alone_runs_ingest_after_a_change_and_not_else(mine: Path) -> None:
    repro(mine)
    assert ran(mine) == ["ingest", "encode"]
    (mine / "mine" / "1.png").write_text("another")
    repro(mine)
    # What ingest makes of it is the same here: nothing after it runs.
    assert ran(mine) == ["ingest", "encode", "ingest"]
    (mine / "mine" / "faces.csv").write_text("image_path,subject_id\n0.png,a\n")
    repro(mine)
    assert ran(mine) == ["ingest", "encode", "ingest", "ingest", "encode"]


def test_sources_are_stale_only_if_something_has_changed(mine: Path) -> None:
    assert dvc.stale_stages(mine) == {}
    os.utime(mine / "mine" / "faces.csv", ns=(1, 1))
    assert dvc.stale_stages(mine) == {}
    (mine / "mine" / "1.png").write_text("another")
    assert dvc.stale_stages(mine) == {"sources": ["my-faces: 1.png changed"]}
    (mine / "mine" / "faces.csv").write_text("image_path,subject_id\n0.png,a\n")
    assert dvc.stale_stages(mine) == {"sources": ["my-faces: faces.csv changed"]}
    (mine / "mine" / "faces.csv").unlink()
    assert dvc.stale_stages(mine) == {"sources": ["my-faces: mine/faces.csv does not exist"]}


def test_status_names_the_file_that_has_changed(mine: Path) -> None:
    assert [row.split()[1:4] for row in status()] == [["up", "to", "date"]] * 3
    (mine / "mine" / "0.png").unlink()
    sources, ingest, encode = status()
    assert "changed" in sources and "my-faces: 0.png removed" in sources
    assert "behind" in ingest and "sources will run" in ingest
    assert "behind" in encode


def status() -> list[str]:
    """Rows of the table, without its header."""
    return CliRunner().invoke(app, ["status"]).stdout.splitlines()[1:]


@pytest.mark.usefixtures("prefect_server", "mlflow_uri")
def test_a_flow_runs_what_a_changed_file_concerns_and_shows_the_rest_as_cached(mine: Path) -> None:
    from tests.flows.test_conductor import conduct, states

    assert states(conduct(mine, "encode")) == dict.fromkeys(
        ("sources", "ingest", "encode"), "Cached"
    )
    (mine / "mine" / "1.png").write_text("another")
    reports = conduct(mine, "encode")
    assert reports["sources"].state == reports["ingest"].state == "Completed"
    assert reports["sources"].reason == "my-faces: 1.png changed"
    assert reports["encode"].state == "Cached"
    assert dvc.stale_stages(mine) == {}


def test_missing_files_are_reported_before_ingest_loses_its_output(mine: Path) -> None:
    (mine / "mine" / "faces.csv").rename(mine / "elsewhere.csv")
    with pytest.raises(dvc.StageError, match=r"paths\.my-faces: mine/faces\.csv does not"):
        dvc.reproduce("sources", mine, {}, print)
    assert (mine / "data" / "ingest" / "faces.csv").exists()
    (mine / "elsewhere.csv").rename(mine / "mine" / "faces.csv")
    dvc.reproduce("sources", mine, {}, print)
    assert dvc.stale_stages(mine) == {}


def test_built_in_datasets_have_no_files_to_watch(
    project: Callable[..., Path],
) -> None:
    root = project(sources=STAGES["sources"])
    set_params(root, {})
    assert dvc.stale_stages(root) == {"sources": ["never run here"]}
    assert dvc.reproduce("sources", root, {}, print)
    assert [path.name for path in (root / "data" / "sources").iterdir()] == ["metrics.json"]
    assert dvc.stale_stages(root) == {}


def test_contents_of_pictures_and_landmark_functions_are_watched(mine: Path) -> None:
    (mine / "find.py").write_text("def find(pixels): ...\n")
    set_params(
        mine,
        {"my-faces": "mine/faces.csv"},
        fingerprint="full",
        align={"my-faces": "find:find"},
    )
    assert dvc.stale_stages(mine)["sources"] == ["ingest modified"]
    dvc.reproduce("sources", mine, {}, print)
    assert dvc.stale_stages(mine).keys() == {"ingest"}
    os.utime(mine / "mine" / "0.png", ns=(1, 1))
    assert dvc.stale_stages(mine).keys() == {"ingest"}
    (mine / "find.py").write_text("def find(pixels): return None\n")
    assert dvc.stale_stages(mine)["sources"] == ["my-faces: find.py changed"]
