"""A Prefect server, an MLflow store, a project to publish, and marks on processes."""

import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from prefect.testing.utilities import prefect_test_harness

from tests.support.versions import set_up


@pytest.fixture(scope="session")
def prefect_server() -> Iterator[None]:
    with prefect_test_harness(server_startup_timeout=300):
        yield


@pytest.fixture
def mlflow_uri(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> str:
    """URI of one MLflow store for the session: setting one up takes seconds."""
    folder = tmp_path_factory.getbasetemp() / "mlflow"
    folder.mkdir(exist_ok=True)
    uri = f"sqlite:///{folder / 'mlflow.db'}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    return uri


@pytest.fixture
def marked(monkeypatch: pytest.MonkeyPatch) -> str:
    """A mark in the environment of all processes that the test starts."""
    mark = uuid.uuid4().hex
    monkeypatch.setenv("FACSIMILE_TEST_MARK", mark)
    return mark


@pytest.fixture(scope="session")
def version_project_once(tmp_path_factory: pytest.TempPathFactory, empty_project: Path) -> Path:
    root = tmp_path_factory.mktemp("versions") / "faces"
    shutil.copytree(empty_project, root)
    set_up(root)
    return root


@pytest.fixture
def version_project(version_project_once: Path, tmp_path: Path) -> Path:
    """A small project under git whose stages have run; see tests/support/versions.py."""
    return shutil.copytree(version_project_once, tmp_path / "faces", symlinks=True)
