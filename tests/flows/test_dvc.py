"""DVC as a subprocess: what is stale, what ran, and how a stage ended."""

from collections.abc import Callable
from pathlib import Path

import pytest

from flows import dvc

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
    ("command", "code", "reason", "died"),
    [
        (
            "echo working; echo 'facsimile: no neutral face' >&2; exit 2",
            2,
            "no neutral face",
            False,
        ),
        ("echo Traceback; echo 'KeyError: 3'; exit 1", 1, "exit status 1: KeyError: 3", False),
        ("exit 75", 75, "out of memory", True),
        (f'exec python -c "{KILL_ITSELF}"', -9, "killed by SIGKILL", True),
        (f'python -c "{KILL_ITSELF}"; exit $?', -9, "killed by SIGKILL", True),
        ("exit 255", 255, "exit status 255", False),
    ],
)
def test_how_a_stage_ended(
    project: Callable[..., Path], command: str, code: int, reason: str, died: bool
) -> None:
    root = project(a={"cmd": command, "outs": ["out"]})
    with pytest.raises(dvc.StageError) as caught:
        dvc.reproduce("a", root, {}, print)
    assert caught.value.code == code
    assert caught.value.died is died
    assert str(caught.value).startswith(f"a: {reason}")


def test_error_of_dvc_itself_is_reported(project: Callable[..., Path]) -> None:
    root = project(a={"cmd": "echo 1 > out", "deps": ["absent"], "outs": ["out"]})
    with pytest.raises(dvc.StageError, match="absent") as caught:
        dvc.reproduce("a", root, {}, print)
    assert not caught.value.died
