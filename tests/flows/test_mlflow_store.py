"""The MLflow store: stores that cannot be reached, opened or written, and odd paths."""

import os
import shutil
import socket
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from mlflow import MlflowClient

from flows import mlflow_store as module
from flows.mlflow_runs import ended_run, open_run
from flows.mlflow_store import STORE, MLflowStore

pytestmark = pytest.mark.slow


@pytest.fixture
def silent() -> Iterator[str]:
    """Address of a server that accepts and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"


def asked(store: MLflowStore) -> list[object]:
    """Use it twice; what it gave, and whether it was asked at all."""
    calls: list[object] = []
    return [store.attempt(lambda client: calls.append(client)) for _ in range(2)] + calls


def test_a_server_that_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:secret@127.0.0.1:9")
    # By default, it would be tried again for 4 minutes.
    monkeypatch.setattr("urllib3.util.retry.time.sleep", lambda _: pytest.fail("tried again"))
    store = MLflowStore(tmp_path)
    try:
        raise ValueError("a stage failed")
    except ValueError:
        assert asked(store) == [None, None]
    assert store.failure == "MLflow at http://127.0.0.1:9: Connection refused"


def test_a_server_that_never_answers(
    tmp_path: Path, silent: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(module._PROBE, "TIMEOUT", "1")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://{silent}")
    before = dict(os.environ)
    store = MLflowStore(tmp_path)
    assert asked(store) == [None, None]
    assert store.failure == f"MLflow at http://{silent}: timed out"
    assert dict(os.environ) == before


def test_a_timeout_set_by_the_user_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "77")
    for settings in (module._PROBE, module._REQUEST):
        with module._request_settings(settings):
            assert os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"] == "77"
            assert os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] == settings["MAX_RETRIES"]
    assert "MLFLOW_HTTP_REQUEST_MAX_RETRIES" not in os.environ


def test_a_store_that_does_not_open_in_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a database server that hangs: its driver has no time limit of ours."""
    monkeypatch.setattr(module, "_SECONDS_TO_OPEN", 0.1)
    monkeypatch.setattr(MLflowStore, "_connect", lambda *_: threading.Event().wait())
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "postgresql://me:secret@db/mlflow")
    store = MLflowStore(tmp_path)
    assert asked(store) == [None, None]
    assert store.failure == "MLflow at postgresql://db/mlflow: no answer within 0 s"


def missing_driver(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "oracle://db/mlflow")


def not_a_database(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (root / STORE).write_text("x" * 5000)


def a_folder(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (root / STORE).mkdir()


def locked(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_SECONDS_LOCKED", 0.1)
    connection = sqlite3.connect(root / STORE)
    connection.execute("BEGIN EXCLUSIVE")
    # Kept open for as long as the test lasts.
    monkeypatch.setattr(module, "held", connection, raising=False)


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (missing_driver, "MLflow at oracle://db/mlflow: "),
        (not_a_database, "file is not a database"),
        (a_folder, "unable to open database file"),
        (locked, "database is locked"),
    ],
)
def test_a_store_that_cannot_be_opened(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    spoil: Callable[[Path, pytest.MonkeyPatch], None],
    reason: str,
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    # MLflow would try again ten times.
    monkeypatch.setattr("mlflow.store.db.utils.MAX_RETRY_COUNT", 1)
    spoil(tmp_path, monkeypatch)
    store = MLflowStore(tmp_path)
    assert asked(store) == [None, None]
    assert reason in store.failure and "\n" not in store.failure


def test_sqlite_is_not_tried_for_minutes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setattr("mlflow.store.db.utils.time.sleep", lambda _: pytest.fail("tried again"))
    (tmp_path / STORE).mkdir()
    assert asked(MLflowStore(tmp_path)) == [None, None]


def test_a_failed_log_call_does_not_end_the_rest(mlflow_uri: str, tmp_path: Path) -> None:
    store = MLflowStore(tmp_path)

    def fail(_: MlflowClient) -> None:
        raise RuntimeError("first line\nsecond")

    assert store.attempt(fail) is None
    assert store.failure == f"MLflow at {mlflow_uri}: first line"
    assert store.attempt(lambda client: "logged") == "logged"


def test_a_lost_store_is_not_tried_again(
    mlflow_uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = MLflowStore(tmp_path)
    assert store.attempt(lambda client: "logged") == "logged"

    def fail(*_: object) -> None:
        raise ConnectionResetError(104, "Connection reset by peer")

    monkeypatch.setattr(MlflowClient, "get_experiment_by_name", fail)
    assert store.attempt(fail) is None
    assert store.attempt(lambda client: "logged") is None
    assert store.failure.endswith(": Connection reset by peer")


@pytest.mark.parametrize("name", ["we?ird", "#1", "50%25", "a b", "ü", "a+b&c=d", "file:x"])
def test_projects_of_any_path(
    mlflow_uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    MLflowStore(tmp_path).attempt(lambda client: client)
    root = tmp_path / name
    root.mkdir()
    # A store that is set up already: that takes seconds.
    shutil.copy(mlflow_uri.removeprefix("sqlite:///"), root / STORE)
    database = sqlite3.connect(root / STORE)
    database.execute("DELETE FROM experiments WHERE name = 'facsimile'")
    database.commit()
    database.close()
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    monkeypatch.chdir(tmp_path)
    (root / "report ?.html").write_text("report")
    store = MLflowStore(root)

    def use(client: MlflowClient) -> list[str]:
        run = open_run(client, store.experiment, "x", 0.0, {})
        with ended_run(client, run, "FINISHED"):
            client.log_artifact(run, str(root / "report ?.html"))
        return [item.path for item in client.list_artifacts(run)]

    assert store.attempt(use) == ["report ?.html"], store.failure
    assert sorted(path.name for path in tmp_path.iterdir()) == [name]
    assert {path.name for path in root.iterdir()} == {STORE, "mlruns", "report ?.html"}
    with sqlite3.connect(root / STORE) as database:
        assert database.execute("SELECT status FROM runs WHERE name = 'x'").fetchall()


def test_a_project_that_was_copied_uses_its_own_artifacts(
    mlflow_uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    MLflowStore(tmp_path).attempt(lambda client: client)
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()
    # A store that is set up already: that takes seconds.
    shutil.copy(mlflow_uri.removeprefix("sqlite:///"), first / STORE)
    with closing(sqlite3.connect(first / STORE)) as database, database:
        database.execute("DELETE FROM experiments WHERE name = 'facsimile'")
    (tmp_path / "report.html").write_text("report")

    def write(client: MlflowClient, store: MLflowStore, name: str) -> str:
        run = open_run(client, store.experiment, name, 0.0, {})
        with ended_run(client, run, "FINISHED"):
            client.log_artifact(run, str(tmp_path / "report.html"))
        client.create_registered_model(name)
        client.create_model_version(name, f"{client.get_run(run).info.artifact_uri}/model", run)
        return run

    original = MLflowStore(first)
    run = original.attempt(lambda client: write(client, original, "one"))
    shutil.copytree(first, second)
    shutil.rmtree(first / "mlruns")
    copy = MLflowStore(second)
    listed = copy.attempt(lambda client: [item.path for item in client.list_artifacts(run)])
    assert listed == ["report.html"], copy.failure
    version = copy.attempt(lambda client: client.get_model_version("one", "1"))
    assert version.source == f"{(second / 'mlruns').as_uri()}/{run}/artifacts/model"
    copy.attempt(lambda client: write(client, copy, "two"))
    assert not (first / "mlruns").exists()
