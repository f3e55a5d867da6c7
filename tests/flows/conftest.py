"""A Prefect server for the session, and tiny DVC projects whose stages are shell commands."""

import os
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
import yaml
from prefect.testing.utilities import prefect_test_harness


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


@pytest.fixture(scope="session")
def empty_project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("empty")
    command = [sys.executable, "-m", "dvc", "init", "--no-scm", "--quiet"]
    subprocess.run(command, cwd=root, check=True)
    return root


@pytest.fixture
def project(
    tmp_path: Path, empty_project: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Path]:
    """Makes a DVC project of the stages given, its root the current folder.

    ``./log`` notes each run of a stage that calls ``ran NAME``.
    """

    def make(**stages: dict[str, object]) -> Path:
        subprocess.run(["cp", "-r", f"{empty_project}/.dvc", str(tmp_path)], check=True)
        (tmp_path / "dvc.yaml").write_text(yaml.safe_dump({"stages": stages}, sort_keys=False))
        monkeypatch.chdir(tmp_path)
        return tmp_path

    return make


@pytest.fixture
def marked(monkeypatch: pytest.MonkeyPatch) -> str:
    """A mark in the environment of all processes that the test starts."""
    mark = uuid.uuid4().hex
    monkeypatch.setenv("FACSIMILE_TEST_MARK", mark)
    return mark


def ran(root: Path) -> list[str]:
    """What the stages noted in ``./log``, in order."""
    log = root / "log"
    return log.read_text().split() if log.exists() else []


def wait_for(condition: Callable[[], bool], seconds: float = 60) -> None:
    """Return as soon as a condition holds that another process brings about."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def left_after(seconds: float, mark: str) -> list[str]:
    """Commands of processes that have `mark` in their environment and still live after so long.

    Processes of this test's own, and those that have ended but wait to be noticed, do not count.
    """

    def left() -> list[str]:
        commands = []
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                if (
                    process.pid != os.getpid()
                    and process.status() != psutil.STATUS_ZOMBIE
                    and mark in process.environ().values()
                ):
                    commands.append(" ".join(process.cmdline()))
        return commands

    with suppress(AssertionError):
        wait_for(lambda: not left(), seconds)
    return left()
