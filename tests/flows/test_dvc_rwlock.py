"""DVC's list of paths in use, after its processes were killed."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from facsimile.errors import FacsimileError
from flows import dvc
from flows.dvc_rwlock import RWLOCK


@pytest.fixture
def root(project: Callable[..., Path]) -> Path:
    root = project(a={"cmd": "echo 1 > a", "outs": ["a"]})
    dvc.reproduce("a", root, {}, print)
    return root


@pytest.fixture
def process() -> Iterator[Callable[..., int]]:
    """Starts a process that waits; returns its number."""
    started: list[subprocess.Popen] = []

    def start(*arguments: str) -> int:
        code = "import sys; sys.stdin.read()"
        command = [sys.executable, "-c", code, *arguments]
        started.append(subprocess.Popen(command, stdin=subprocess.PIPE))
        return started[-1].pid

    yield start
    for running in started:
        running.communicate()


def write_by(root: Path, pid: int) -> None:
    who = {"pid": pid, "cmd": "/bin/dvc repro a"}
    held = {"write": {str(root / "a"): who}, "read": {str(root / "b"): [who]}}
    (root / RWLOCK).write_text(json.dumps(held))


@pytest.mark.parametrize("text", ["", '{"write": {"a', "[]", '{"write": {"a": 3}}'])
def test_a_truncated_list_is_dropped(root: Path, text: str) -> None:
    (root / RWLOCK).write_text(text)
    assert dvc.stale_stages(root) == {}


def test_a_number_given_to_another_program_since_is_no_dvc(
    root: Path, process: Callable[..., int]
) -> None:
    write_by(root, process())
    assert dvc.stale_stages(root) == {}
    write_by(root, process())
    (root / "a").unlink()
    assert dvc.reproduce("a", root, {}, print)


def test_the_lock_holder_is_reported_with_the_remedy(
    root: Path, process: Callable[..., int]
) -> None:
    pid = process("dvc", "repro")
    write_by(root, pid)
    with pytest.raises(FacsimileError) as caught:
        dvc.stale_stages(root)
    assert f"(PID {pid}): /bin/dvc repro a" in str(caught.value)
    assert "rwlock' and try again." in str(caught.value)

    with pytest.raises(dvc.StageError) as failed:
        (root / "a").unlink()
        dvc.reproduce("a", root, {}, print)
    assert f"(PID {pid}): /bin/dvc repro a" in str(failed.value)
    assert "rwlock' and try again." in str(failed.value) and "\n" not in str(failed.value)
