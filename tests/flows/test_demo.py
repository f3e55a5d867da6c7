"""The demo on CSV files: the same faces come out of it as went in, in a project of its own."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from typer.testing import CliRunner

from cli import run_commands
from cli.app import app
from facsimile.faces.tables import FACE_SCHEMA, read_table, write_shards
from flows import dvc
from flows.demo import plain_table_project
from tasks import ingest
from tasks.params import read_params
from tasks.shared.stage import Compute
from tests.support.faces import face_table
from tests.support.project import ROOT, write_params

COPIED = (
    *("facsimile/a.py", "tasks/b.py", "data/config/c.yaml", "data/describer/d", "data/generator/e"),
    "data/oracle/f",
)


def odd_faces(dataset: str) -> pd.DataFrame:
    """Faces with an id that is no file name, AUs that are not annotated and odd numbers."""
    return face_table(
        [f"{dataset}/../{n}, «ü»" for n in range(6)],
        aus=np.nan,
        dataset=dataset,
        subject_id=[f"{dataset}-{n // 2}" for n in range(6)],
        split=["train", "train", "val", "val", "test", "test"],
        AU04=np.random.default_rng(len(dataset)).random(6).astype(np.float32),
        AU12=np.float32([0.2, np.nan] * 3),
        age=np.float32(1 / 3),
    )


@pytest.fixture
def ingested(project: Callable[..., Path]) -> Path:
    """A project whose stage ingest has run."""
    root = project()
    write_params(root, {"ingest": {"size": 8, "on_error": "skip"}})
    for name in COPIED:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(name)
    for name in ("dvc.yaml", ".dvcignore"):
        shutil.copy(ROOT / name, root / name)
    for name in read_params(root / "params.yaml")["datasets"].all:
        write_shards([odd_faces(name)], root / "data" / "ingest" / name, FACE_SCHEMA)
    lock(root, "1.dir")
    return root


def lock(root: Path, md5: str) -> None:
    outs = [{"path": "data/ingest", "md5": md5}]
    (root / "dvc.lock").write_text(yaml.safe_dump({"stages": {"ingest": {"outs": outs}}}))


def test_the_same_faces_come_from_csv_files(
    ingested: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = (ingested / "params.yaml").read_text()
    made = plain_table_project(ingested)
    assert made == ingested / "build" / "plain-table"
    assert (ingested / "params.yaml").read_text() == before
    assert (made / "tasks" / "b.py").read_text() == "tasks/b.py"
    assert "ingest" in dvc.stale_stages(made)

    monkeypatch.chdir(made)
    params = read_params()
    ingest.run(made / "out", Compute("cpu", 4, 1), params["datasets"], params["ingest"])
    for name in params["datasets"].all:
        was, now = read_table(ingested / "data" / "ingest" / name), read_table(made / "out" / name)
        pd.testing.assert_frame_equal(now, was)


def test_a_project_made_again_keeps_what_has_not_changed(ingested: Path) -> None:
    made = plain_table_project(ingested)
    params = (made / "params.yaml").read_text()
    (table,) = made.glob("faces/*/world-disfa/faces.csv")
    written = table.stat().st_mtime_ns
    (made / "data" / "encode").mkdir()
    assert plain_table_project(ingested) == made
    assert table.stat().st_mtime_ns == written and (made / "data" / "encode").exists()
    assert (made / "params.yaml").read_text() == params

    lock(ingested, "2.dir")
    plain_table_project(ingested)
    assert not table.exists() and (made / "params.yaml").read_text() != params


def test_demo_runs_the_project_that_it_makes(
    ingested: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    conducted: list[tuple[str, list[str]]] = []

    def conduct(root: Path, targets: list[str], log_json: bool) -> None:
        conducted.append((str(root), targets))
        report = root / "data" / "evaluate" / "report.html"
        report.parent.mkdir(parents=True, exist_ok=True)
        report.write_text("<html>")

    monkeypatch.setattr(run_commands, "conduct", conduct)
    result = CliRunner().invoke(app, ["demo", "--dataset", "plain-table"])
    assert result.exit_code == 0, result.output
    assert conducted == [(".", ["ingest"]), ("build/plain-table", [])]
    report = ingested / "build" / "plain-table" / "data" / "evaluate" / "report.html"
    assert result.stdout.splitlines() == [str(report)]


def test_first_demo_says_how_long_it_takes(ingested: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_commands, "conduct", lambda *arguments: None)
    monkeypatch.setattr(run_commands, "print_report", lambda root: None)
    assert CliRunner().invoke(app, ["demo"]).stdout == ""
    (ingested / "dvc.lock").unlink()
    assert "15 to 20 minutes" in CliRunner().invoke(app, ["demo"]).stdout


def test_nothing_ingested(ingested: Path) -> None:
    (ingested / "dvc.lock").unlink()
    with pytest.raises(ValueError, match=r"dvc\.lock: stage ingest has not run"):
        plain_table_project(ingested)
