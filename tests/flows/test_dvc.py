"""DVC as a subprocess: what is stale, what ran, and how a stage ended."""

import json
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from facsimile.errors import FacsimileError
from flows import dvc
from tests.support.processes import left_after, wait_for

KILL_ITSELF = "import os; os.kill(os.getpid(), 9)"


def test_reproduce_runs_what_is_stale_and_nothing_else(project: Callable[..., Path]) -> None:
    root = project(a={"cmd": "echo hello && cp in out", "deps": ["in"], "outs": ["out"]})
    (root / "in").write_text("1")
    lines: list[str] = []
    assert dvc.stale_stages(root) == {"a": ["never run here"]}

    assert dvc.reproduce("a", root, {}, lines.append)
    assert lines == ["hello"]
    assert dvc.stale_stages(root) == {}
    assert not dvc.reproduce("a", root, {}, lines.append)
    assert lines == ["hello"]

    (root / "in").write_text("2")
    assert dvc.stale_stages(root) == {"a": ["in modified"]}


def test_missing_output_is_stale(project: Callable[..., Path]) -> None:
    root = project(a={"cmd": "cp in out", "deps": ["in"], "outs": ["out"]})
    (root / "in").write_text("1\n")
    dvc.reproduce("a", root, {}, print)
    (root / "out").unlink()
    assert dvc.stale_stages(root) == {"a": ["out deleted"]}
    # The cache still has it: restored without a run.
    assert not dvc.reproduce("a", root, {}, print)
    assert (root / "out").read_text() == "1\n"


@pytest.mark.parametrize(
    ("command", "code", "reason", "retryable"),
    [
        (
            "echo working; echo 'facsimile: no neutral face' >&2; exit 2",
            2,
            "no neutral face",
            False,
        ),
        ("echo Traceback; echo 'KeyError: 3'; exit 1", 1, "exit status 1: KeyError: 3", False),
        ("exit 75", 75, "out of memory", True),
        (
            "echo 'facsimile: out of memory at batch size 8' >&2; exit 75",
            75,
            "out of memory at batch size 8",
            True,
        ),
        (f'exec python -c "{KILL_ITSELF}"', -9, "killed by SIGKILL, possibly out of memory", True),
        (f'python -c "{KILL_ITSELF}"; exit $?', -9, "killed by SIGKILL, possibly out", True),
        ("exit 143", -15, "killed by SIGTERM", True),
        ("echo ERROR: of its own; exit 1", 1, "exit status 1: ERROR: of its own", False),
        ("echo done", 255, "output 'out' does not exist", False),
        ("exit 255", 255, "exit status 255", False),
    ],
)
def test_how_a_stage_ended(
    project: Callable[..., Path], command: str, code: int, reason: str, retryable: bool
) -> None:
    root = project(a={"cmd": command, "outs": ["out"]})
    with pytest.raises(dvc.StageError) as caught:
        dvc.reproduce("a", root, {}, print)
    assert caught.value.code == code
    assert caught.value.retryable is retryable
    assert str(caught.value).startswith(f"a: {reason}")


def test_a_kill_for_lack_of_memory_is_read_from_the_kernel(
    project: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    vmstat = tmp_path / "vmstat"
    vmstat.write_text("pgfault 7\noom_kill 3\n")
    monkeypatch.setattr(dvc, "_VMSTAT", vmstat)
    command = f"echo oom_kill 4 > vmstat && exec python -c '{KILL_ITSELF}'"
    root = project(a={"cmd": command, "outs": ["out"]})
    with pytest.raises(dvc.StageError, match="a: killed by SIGKILL, out of memory"):
        dvc.reproduce("a", root, {}, print)


def test_all_lines_of_a_dvc_error_are_reported(project: Callable[..., Path]) -> None:
    root = project(a={"cmd": "true", "outz": ["out"]})
    with pytest.raises(FacsimileError) as caught:
        dvc.stale_stages(root)
    message = str(caught.value)
    assert "dvc.yaml' validation failed" in message and "outz, line 5" in message


def test_a_full_disk_met_by_dvc_is_reported_with_the_remedy(
    project: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    root = project(a={"cmd": "true", "outs": ["out"]})
    text = "ERROR: failed to reproduce 'a': [Errno 28] No space left on device: '/x/y'"
    script = f"import sys; sys.stderr.write({text!r}); sys.exit(255)"
    monkeypatch.setattr(dvc, "_DVC", (sys.executable, "-c", script))
    for call in (lambda: dvc.reproduce("a", root, {}, print), lambda: dvc.stale_stages(root)):
        with pytest.raises((dvc.StageError, FacsimileError)) as caught:
            call()
        message = str(caught.value)
        assert "disk full: " in message and " left on /" in message
        assert "dvc gc --workspace" in message and "\n" not in message


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_stage_ends_with_the_run_and_the_next_run_completes(
    project: Callable[..., Path], marked: str, number: signal.Signals
) -> None:
    # Its own worker process, too.
    waiting = "{ [ -e up ] || { sleep 1000 & touch up; wait; }; }"
    root = project(a={"cmd": f"{waiting} && cp in out", "deps": ["in"], "outs": ["out"]})
    (root / "in").write_text("1")
    code = (
        "import sys, pathlib; from flows import dvc; dvc.reproduce('a', pathlib.Path(), {}, print)"
    )
    run = subprocess.Popen([sys.executable, "-c", code], cwd=root, stderr=subprocess.DEVNULL)
    wait_for((root / "up").exists)
    run.send_signal(number)
    run.wait()
    assert left_after(5, marked) == []
    assert dvc.reproduce("a", root, {}, print)
    assert (root / "out").read_text() == "1"


def test_a_stage_that_starts_when_its_run_has_ended_is_ended(
    project: Callable[..., Path], marked: str
) -> None:
    root = project(a={"cmd": "sleep 1000", "outs": ["out"]})
    with pytest.raises(dvc.StageError):
        dvc.reproduce("a", root, {}, print, ended=lambda: True)
    assert left_after(5, marked) == []


def test_kill_all_ends_stages(project: Callable[..., Path], marked: str) -> None:
    root = project(a={"cmd": "touch up && sleep 1000", "outs": ["out"]})
    ender = threading.Thread(
        target=lambda: (wait_for((root / "up").exists), dvc.kill_all()), daemon=True
    )
    ender.start()
    with pytest.raises(dvc.StageError):
        dvc.reproduce("a", root, {}, print)
    assert left_after(5, marked) == []
    # DVC was not cut off but has let go of the paths of the stage.
    held = json.loads((root / ".dvc" / "tmp" / "rwlock").read_text())
    assert not any(held.values())


@pytest.mark.parametrize(
    ("change", "sound"),
    [("", True), ("echo 2 > data/a/x", False), ("echo 2 > in", False), ("rm -r data", False)],
)
def test_sound_outputs_are_put_into_the_recache(
    project: Callable[..., Path], change: str, sound: bool
) -> None:
    command = "mkdir -p data/a && cp in data/a/x"
    root = project(a={"cmd": command, "deps": ["in"], "outs": ["data/a"]})
    (root / "in").write_text("1\n")
    dvc.reproduce("a", root, {}, print)
    shutil.rmtree(root / ".dvc" / "cache")
    subprocess.run(change, shell=True, cwd=root, check=True)
    locked = (root / "dvc.lock").read_text()
    assert dvc.recache("a", root) is sound
    assert (root / "dvc.lock").read_text() == locked
    if sound:
        assert dvc.stale_stages(root) == {}
        shutil.rmtree(root / "data")
        assert not dvc.reproduce("a", root, {}, print)  # restored
    else:
        assert "a" in dvc.stale_stages(root)


def test_an_error_of_dvc_itself_is_reported(project: Callable[..., Path]) -> None:
    root = project(a={"cmd": "echo 1 > out", "deps": ["absent"], "outs": ["out"]})
    with pytest.raises(dvc.StageError, match="absent") as caught:
        dvc.reproduce("a", root, {}, print)
    assert not caught.value.retryable


def test_results_are_fetched_from_the_default_remote(
    project: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory
) -> None:
    root = project(a={"cmd": "echo 1 > a", "outs": ["a"]}, b={"cmd": "echo 2 > b", "outs": ["b"]})
    assert dvc.pull(root) == "", "there is no remote, so nothing is missing"
    dvc.reproduce("a", root, {}, print)
    remote = tmp_path_factory.mktemp("remote")
    for command in (["remote", "add", "--default", "store", str(remote)], ["push", "a"]):
        subprocess.run([sys.executable, "-P", "-m", "dvc", *command], cwd=root, check=True)
    (root / "a").unlink()
    shutil.rmtree(root / ".dvc" / "cache")
    assert dvc.pull(root) == ""  # `b` has never run, so the remote cannot have it
    assert (root / "a").read_text() == "1\n"
