"""Options, markers and process settings for all tests, and minimal DVC projects."""

import atexit
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

# The networks in tests are too small to gain from several threads, which are much slower if other
# processes run. Libraries read this when they are imported.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# Runs lease devices through locks in TMPDIR. Each worker of pytest-xdist gets its own folder, so
# that its runs do not wait for those of another worker.
if _worker := os.environ.get("PYTEST_XDIST_WORKER"):
    os.environ["TMPDIR"] = tempfile.tempdir = tempfile.mkdtemp(prefix=f"facsimile-{_worker}-")
    atexit.register(shutil.rmtree, os.environ["TMPDIR"], ignore_errors=True)

# Fixtures that start a Prefect server or create a DVC project, so their tests start processes.
SLOW_FIXTURES = {"prefect_server", "empty_project", "registered_once"}

# `nohup` and shell background jobs ignore these signals, and child processes would inherit that.
for _number, _default in (
    (signal.SIGHUP, signal.SIG_DFL),
    (signal.SIGINT, signal.default_int_handler),
    (signal.SIGQUIT, signal.SIG_DFL),
):
    if signal.getsignal(_number) == signal.SIG_IGN:
        signal.signal(_number, _default)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--update-golden",
        action="store_true",
        help="store the results of this run as golden results instead of comparing with them",
    )


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark tests that run DVC or a Prefect server as slow."""
    for item in items:
        if SLOW_FIXTURES & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="session")
def empty_project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which only ``dvc init`` has run."""
    root = tmp_path_factory.mktemp("empty")
    command = [sys.executable, "-m", "dvc", "init", "--no-scm", "--quiet"]
    subprocess.run(command, cwd=root, check=True)
    return root


@pytest.fixture
def project(
    tmp_path: Path, empty_project: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Path]:
    """Creates a DVC project with the given stages and makes it the current folder."""

    def make(**stages: dict[str, object]) -> Path:
        subprocess.run(["cp", "-r", f"{empty_project}/.dvc", str(tmp_path)], check=True)
        (tmp_path / "dvc.yaml").write_text(yaml.safe_dump({"stages": stages}, sort_keys=False))
        monkeypatch.chdir(tmp_path)
        return tmp_path

    return make


@pytest.fixture(scope="session")
def registered_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with one registered version of its detectors, which is wrong about AU12."""
    from flows.registration import register
    from tests.support.detectors import train, write_project

    root = tmp_path_factory.mktemp("registered")
    write_project(root)
    train(root, inverted=["AU12"])
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        assert register(root).is_new
    return root


@pytest.fixture
def registered(registered_once: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it, with its own artifacts."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return shutil.copytree(registered_once, tmp_path / "registered")
