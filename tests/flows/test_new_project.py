"""``facsimile init``: a project of its own, complete enough for its stages to run."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from cli.app import app
from flows import new_project
from flows.graph import read_graph
from tasks.params import read_params
from tests.support.project import ROOT


def init(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["init", *map(str, arguments)])


def files(folder: Path) -> Iterator[str]:
    for path in sorted(folder.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            yield path.relative_to(folder).as_posix()


def test_a_project_has_what_its_stages_depend_on(tmp_path: Path) -> None:
    project = tmp_path / "mine"
    result = init(project)
    assert result.exit_code == 0 and f"{project}: a new project" in result.stdout
    graph = read_graph(project, extra=True)
    assert graph.nodes == read_graph(ROOT, extra=True).nodes
    assert read_params(project / "params.yaml") == read_params(ROOT / "params.yaml")
    # What git tracks there is what it tracks here, apart from the command line and documentation.
    tracked = subprocess.run(
        ["git", "ls-files", *new_project.CODE, "data", ".dvc"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    ).stdout.splitlines()
    if tracked:  # not in an archive
        assert set(tracked) <= set(files(project))
    assert not any(path.name.startswith(".facsimile-") for path in project.iterdir())


@pytest.mark.slow
def test_its_stages_run_the_code_in_it(tmp_path: Path) -> None:
    init(tmp_path)
    stage = tmp_path / "tasks" / "sources.py"
    stage.write_text(stage.read_text().replace('{"files": 0}', '{"files": 0, "copy": 1}'))
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    command = [sys.executable, "-m", "tasks.sources"]
    subprocess.run(command, cwd=tmp_path, env=environment, check=True)
    assert '"copy": 1' in (tmp_path / "data" / "sources" / "metrics.json").read_text()


def test_datasets_and_a_repository_may_be_there_but_no_project(tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    (tmp_path / "faces.csv").write_text("mine")
    assert init(tmp_path).exit_code == 0
    assert (tmp_path / "faces.csv").read_text() == "mine"
    before = sorted(files(tmp_path))
    (tmp_path / "params.yaml").write_text("mine")
    result = init(tmp_path)
    assert result.exit_code == 2 and len(result.stderr.splitlines()) == 1
    assert "facsimile exists already: name another folder" in result.stderr
    assert sorted(files(tmp_path)) == before
    assert (tmp_path / "params.yaml").read_text() == "mine"
    assert "faces.csv is a file; name a folder" in init(tmp_path / "faces.csv").stderr


def test_nothing_is_left_of_a_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(new_project, "SETTINGS", (*new_project.SETTINGS, "no such file"))
    with pytest.raises(FileNotFoundError):
        new_project.create_project(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_an_update_replaces_the_code_and_nothing_else(tmp_path: Path) -> None:
    init(tmp_path)
    own = ("params.yaml", "data/config/au_graph.yaml", "data/generator/metrics.json")
    for name in (*own, "tasks/ingest.py", "dvc.yaml", "facsimile/removed.py"):
        (tmp_path / name).write_text("changed")
    assert init(tmp_path, "--update").exit_code == 0
    assert {name for name in own if (tmp_path / name).read_text() == "changed"} == set(own)
    for name in ("tasks/ingest.py", "dvc.yaml"):
        assert (tmp_path / name).read_bytes() == (ROOT / name).read_bytes()
    assert not (tmp_path / "facsimile" / "removed.py").exists()


def test_only_projects_are_updated(tmp_path: Path) -> None:
    result = init(tmp_path, "--update")
    assert result.exit_code == 2 and "no project, it has no dvc.yaml" in result.stderr
    (tmp_path / "dvc.yaml").touch()
    (tmp_path / "cli").mkdir()
    result = init(tmp_path, "--update")
    assert result.exit_code == 2 and "is a checkout of Facsimile: update it with git" in (
        result.stderr
    )


def test_files_of_an_installation_are_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Packages in one folder, other files where the wheel's data went."""
    shared = tmp_path / "share" / "facsimile"
    for name in (*new_project.MODELS, *new_project.SETTINGS, "dvc.yaml", ".dvcignore"):
        new_project.copy(ROOT / name, shared / name)
    for name in ("facsimile", "tasks"):
        new_project.copy(ROOT / name, tmp_path / "site-packages" / name)

    class File:
        name = "dvc.yaml"

        def locate(self) -> Path:
            return shared / "dvc.yaml"

    monkeypatch.setattr(new_project, "_PACKAGES", tmp_path / "site-packages")
    monkeypatch.setattr(new_project.metadata, "files", lambda name: [File()])
    new_project.create_project(tmp_path / "mine")
    assert (tmp_path / "mine" / "tasks" / "ingest.py").is_file()
    monkeypatch.setattr(new_project.metadata, "files", lambda name: None)
    assert "install it again" in init(tmp_path / "other").stderr
