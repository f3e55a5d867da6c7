"""Processes that end with their parent, whatever ends it. Parents are really killed."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from flows.supervisor import supervised
from tests.support.processes import left_after, wait_for

pytestmark = pytest.mark.slow

# Runs a supervised command and waits for it, as a program would that knows nothing of signals.
PARENT = """
import subprocess, sys
from flows.supervisor import supervised
argv, options = supervised(sys.argv[1:])
subprocess.Popen(argv, **options).wait()
"""
# Two processes deep, and the inner one leaves its group alone.
COMMAND = ["sh", "-c", "sleep 1000 & touch up; wait"]
STUBBORN = ["sh", "-c", "trap '' TERM; touch up; while :; do sleep 1000; done"]


def run(command: list[str], **options: object) -> subprocess.Popen:
    argv, own = supervised(command)
    return subprocess.Popen(argv, **own, **options)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_command_ends_with_its_parent(
    tmp_path: Path, marked: str, number: signal.Signals
) -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, *COMMAND],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        stderr=subprocess.DEVNULL,
    )
    wait_for((tmp_path / "up").exists)
    parent.send_signal(number)
    parent.wait()
    assert left_after(5, marked) == []


def test_a_process_that_ignores_sigterm_is_killed(tmp_path: Path, marked: str) -> None:
    process = run(STUBBORN, cwd=tmp_path)
    wait_for((tmp_path / "up").exists)
    process.terminate()
    assert process.wait(60) == -signal.SIGKILL
    assert left_after(5, marked) == []


@pytest.mark.skipif(sys.platform != "linux", reason="PR_SET_PDEATHSIG")
def test_a_command_does_not_outlive_its_supervisor(tmp_path: Path, marked: str) -> None:
    process = run(["sh", "-c", "touch up; exec sleep 1000"], cwd=tmp_path)
    wait_for((tmp_path / "up").exists)
    process.kill()
    process.wait()
    assert left_after(5, marked) == []


def test_processes_left_by_a_command_are_ended(tmp_path: Path, marked: str) -> None:
    assert run(["sh", "-c", "sleep 1000 & exit 3"], cwd=tmp_path).wait(60) == 3
    assert left_after(5, marked) == []


@pytest.mark.parametrize(
    ("command", "status"),
    [("exit 0", 0), ("exit 75", 75), ("kill -KILL $$", -9), ("kill -TERM $$", -15)],
)
def test_the_status_is_passed_on(command: str, status: int) -> None:
    assert run(["sh", "-c", command]).wait(60) == status


def test_a_command_that_is_not_there(capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["no-such-command"]).wait(60) == 127
    assert capfd.readouterr().err == "no-such-command: No such file or directory\n"


def test_the_command_gets_streams_but_not_the_pipe() -> None:
    """Held open by a command that lives on, the pipe would never close."""
    script = "import os, sys; print(sys.stdin.read(), [f for f in range(3, 64) if is_open(f)])"
    is_open = "def is_open(f):\n try: os.fstat(f); return True\n except OSError: return False\n"
    process = run(
        [sys.executable, "-c", f"import os\n{is_open}{script}"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.communicate("words")[0] == "words []\n"
