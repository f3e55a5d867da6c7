"""The flow `publish`: what Prefect and MLflow learn of a version, and what the command prints."""

from pathlib import Path

import pytest
from mlflow import MlflowClient
from typer.testing import CliRunner

from cli.app import app
from flows import server
from flows.dataset_update import update_dataset
from flows.mlflow_names import decode
from flows.mlflow_runs import revision_of
from flows.mlflow_store import EXPERIMENT
from flows.publish import PUBLISHED, publish
from flows.versions import VersionStore
from tests.support.prefect_api import ask, events_named
from tests.support.processes import wait_for
from tests.support.project import write_params
from tests.support.versions import commit, write_figures

pytestmark = pytest.mark.usefixtures("prefect_server", "mlflow_uri")


def test_a_version_is_announced_once(version_project: Path, mlflow_uri: str) -> None:
    root = version_project
    state = publish(root=str(root), return_state=True)
    (version,) = VersionStore(root).all()
    assert state.is_completed() and state.message == f"published {version.name}"
    again = publish(root=str(root), return_state=True)
    assert (again.name, again.message) == ("Cached", f"the data is {version.name}")

    wait_for(lambda: bool(events_named(PUBLISHED)))
    (event,) = events_named(PUBLISHED)
    assert event["resource"]["prefect.resource.id"] == f"facsimile.version.{version.name}"
    assert event["payload"] == {
        "version": version.name,
        "commit": version.commit,
        "root": str(root),
    }
    (artifact,) = ask("/artifacts/filter", {"artifacts": {"key": {"any_": ["version"]}}})
    for text in (version.commit, version.code, f"{root}-versions", "| edited faces | 4 |"):
        assert text in artifact["data"]

    client = MlflowClient(mlflow_uri)
    experiment = client.get_experiment_by_name(EXPERIMENT).experiment_id
    (run,) = client.search_runs([experiment], f"attributes.run_name = '{version.name}'")
    assert run.info.run_id in artifact["data"] and run.info.status == "FINISHED"
    assert run.data.tags["facsimile.version"] == version.name
    assert run.data.tags["facsimile.version.commit"] == version.commit
    assert revision_of(run).commit == version.code
    assert run.data.params["filter.min_jaccard"] == "0.5"
    metrics = {decode(name): value for name, value in run.data.metrics.items()}
    assert metrics["faces.edited"] == 4 and metrics["gain.real+generated"] == 0.25
    reports = [item.path for item in client.list_artifacts(run.info.run_id)]
    assert reports == ["report.html"]


def test_the_command_prints_the_version_or_the_reason(
    version_project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "connect", lambda root: None)  # the server of the session
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    command = ["publish", "--root", str(version_project)]
    first = CliRunner().invoke(app, command)
    (version,) = VersionStore(version_project).all()
    lines = first.stdout.splitlines()
    assert lines[0] == f"{version.name}: {version.contents.summary()}"
    assert f"git push origin dataset {version.name}" in lines[1]
    assert first.exit_code == 0
    assert f"{version.name} not fully logged to MLflow" in first.stderr, "published all the same"
    second = CliRunner().invoke(app, command)
    assert second.stdout == f"nothing to publish: the data is {version.name}\n"

    (version_project / "code.py").write_text("changed")
    third = CliRunner().invoke(app, command)
    assert third.exit_code == 2, third.output
    assert "not up to date: filter, evaluate" in third.stderr and third.stderr.count("\n") == 1


def test_scheduled_runs_publish_what_has_changed(version_project: Path) -> None:
    root = version_project
    first = update_dataset(root=str(root), return_state=True)
    (version,) = VersionStore(root).all()
    assert (first.is_completed(), first.message) == (True, f"published {version.name}")
    second = update_dataset(root=str(root), return_state=True)
    assert second.message == f"the data is {version.name}"

    write_figures(root, 0.75)
    commit(root)
    third = update_dataset(root=str(root), return_state=True)
    assert third.is_completed() and len(VersionStore(root).all()) == 2

    write_figures(root, 0.8)
    commit(root)
    (root / "code.py").write_text("print('not committed')\n")
    fourth = update_dataset(root=str(root), return_state=True)
    assert fourth.is_failed()
    assert fourth.message.startswith(
        "regenerated, but not published: uncommitted changes in code.py"
    )
    write_params(root, {"operations": {"publish": None}})
    assert update_dataset(root=str(root), return_state=True).message == "regenerated"
