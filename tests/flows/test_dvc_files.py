"""A truncated or half-written dvc.lock is backed up and repaired."""

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from facsimile.errors import FacsimileError
from flows import dvc
from tasks.provenance.dvc_files import CUT, KEPT, LOCK, keep_backup, locked_stages


@pytest.fixture
def root(project: Callable[..., Path]) -> Path:
    """A project with three stages that have run."""
    root = project(
        **{
            name: {"cmd": f"cat {source} > {name}", "deps": [source], "outs": [name]}
            for source, name in ("ia", "ab", "bc")
        }
    )
    (root / "i").write_text("1")
    for name in "abc":
        dvc.reproduce(name, root, {}, print)
    return root


def cut(root: Path, end: int) -> None:
    """What DVC leaves of dvc.lock when it is killed while it writes."""
    text = (root / LOCK).read_text()
    (root / LOCK).write_text(text[:end])


@pytest.mark.parametrize("share", [0, 0.3, 0.5, 0.8, 0.99])
def test_a_truncated_file_is_restored(
    root: Path, capfd: pytest.CaptureFixture[str], share: float
) -> None:
    whole = (root / LOCK).read_text()
    cut(root, int(share * len(whole)))
    assert dvc.stale_stages(root) == {}
    assert (root / LOCK).read_text() == whole
    line = capfd.readouterr().err
    assert line.count("\n") == 1 and "dvc.lock was truncated" in line
    assert (root / CUT).read_text() == whole[: int(share * len(whole))]


def test_truncation_within_a_stage_is_detected(root: Path) -> None:
    whole = (root / LOCK).read_text()
    cut(root, whole.rindex("      md5:"))
    assert list(locked_stages(root)) == ["a", "b", "c"]
    assert (root / LOCK).read_text() == whole


def test_stages_that_finished_since_the_copy_are_kept(root: Path) -> None:
    whole = (root / LOCK).read_text()
    (root / KEPT).write_text(whole[: whole.index("  b:\n")])
    cut(root, len(whole) - 10)  # in the last stage, c
    assert list(locked_stages(root)) == ["a", "b"]
    # DVC's cache knows what the last one gives.
    assert list(dvc.stale_stages(root)) == ["c"]
    assert not dvc.reproduce("c", root, {}, print)
    assert (root / LOCK).read_text() == whole


def test_without_a_copy_complete_stages_remain(root: Path) -> None:
    (root / KEPT).unlink()
    cut(root, -10)
    assert list(locked_stages(root)) == ["a", "b"]
    (root / KEPT).unlink(missing_ok=True)
    cut(root, 5)
    assert locked_stages(root) == {}
    assert set(dvc.stale_stages(root)) == {"a", "b", "c"}


def test_a_git_conflict_is_reported_and_left_alone(root: Path) -> None:
    text = (root / LOCK).read_text().replace("  b:\n", "<<<<<<< HEAD\n  b:\n=======\n")
    (root / LOCK).write_text(text)
    with pytest.raises(FacsimileError, match=r"dvc\.lock: has git conflict markers"):
        dvc.stale_stages(root)
    assert (root / LOCK).read_text() == text


def test_a_file_that_is_not_whole_is_not_kept(root: Path) -> None:
    kept = (root / KEPT).read_text()
    cut(root, -10)
    keep_backup(root)
    assert (root / KEPT).read_text() == kept


def test_a_reader_waits_for_a_writer(root: Path) -> None:
    whole = (root / LOCK).read_text()
    cut(root, len(whole) // 2)
    writer = threading.Timer(0.3, (root / LOCK).write_text, [whole])
    writer.start()
    assert list(locked_stages(root)) == ["a", "b", "c"]
    writer.join()
    assert not (root / CUT).exists()


def test_dvc_replaces_the_file_as_a_whole(root: Path) -> None:
    """A file opened earlier keeps its content, so no reader sees a half-written one."""
    with (root / LOCK).open() as before:
        (root / "i").write_text("2")
        assert dvc.reproduce("a", root, {}, print)
        assert before.read() != (root / LOCK).read_text()
        before.seek(0)
        assert len(before.read().splitlines()) == len((root / LOCK).read_text().splitlines())
    assert not list(root.glob(".dvc.lock.*"))


def test_no_lock_file_no_stages(tmp_path: Path) -> None:
    assert locked_stages(tmp_path) == {}
    keep_backup(tmp_path)
    (tmp_path / LOCK).write_text("half")
    with pytest.raises(FacsimileError, match="not a DVC lock file"):
        locked_stages(tmp_path)
