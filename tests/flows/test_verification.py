"""Hashing outputs and cached files, and deleting corrupt ones."""

from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli.app import app
from flows import dvc
from flows.verification import Verification, remove
from tests.support.files import cached, rot


@pytest.fixture
def root(project: Callable[..., Path]) -> Path:
    """A file, a folder and an uncached file, as written by three stages."""
    root = project(
        one={"cmd": "echo one > one", "outs": ["one"]},
        many={"cmd": "mkdir many && echo a > many/a && echo b > many/b", "outs": ["many"]},
        plain={"cmd": "echo plain > plain", "outs": [{"plain": {"cache": False}}]},
    )
    for stage in ("one", "many", "plain"):
        dvc.reproduce(stage, root, {}, print)
    return root


def faults(root: Path) -> dict[str, str]:
    return {str(fault.path): fault.problem for fault in Verification(root).faults()}


def test_intact_files_are_hashed_once(root: Path) -> None:
    sizes: list[int] = []
    assert not list(Verification(root, sizes.append).faults())
    # four files, cached copies of three, and the listing of the folder
    assert len(sizes) == 8 and sizes.count(2) == 4


def test_rot_that_dvc_does_not_notice_is_found_and_repaired(root: Path) -> None:
    rot(root / "one")
    rot(root / "many" / "b")
    rot(root / "plain")
    assert dvc.stale_stages(root) == {}
    assert faults(root) == {
        "one": "differs from dvc.lock",
        "many/b": "differs from dvc.lock",
        "plain": "differs from dvc.lock",
    }
    assert sorted(map(str, remove(root, Verification(root).faults()))) == ["many/b", "one", "plain"]
    assert set(dvc.stale_stages(root)) == {"one", "many", "plain"}
    for stage in ("one", "many", "plain"):
        dvc.reproduce(stage, root, {}, print)
    assert not faults(root)


def test_rot_in_the_cache(root: Path) -> None:
    path = cached(root, "b\n")
    rot(path)
    assert faults(root) == {str(path.relative_to(root)): "corrupt in DVC's cache"}
    remove(root, Verification(root).faults())
    assert faults(root) == {str(path.relative_to(root)): "missing from DVC's cache"}
    assert dvc.recache("many", root)
    assert not faults(root)


def test_a_corrupt_listing_of_a_folder(root: Path) -> None:
    (listing,) = (root / ".dvc/cache/files/md5").rglob("*.dir")
    rot(listing)
    assert faults(root) == {str(listing.relative_to(root)): "corrupt in DVC's cache"}
    rot(root / "many" / "a")
    assert faults(root)["many"] == "differs from dvc.lock"
    remove(root, Verification(root).faults())
    assert not listing.exists() and not (root / "many").exists()


def test_missing_and_additional_files(root: Path) -> None:
    (root / "one").unlink()
    (root / "many" / "a").unlink()
    (root / "many" / "c").write_text("c")
    assert faults(root) == {"one": "missing", "many/a": "missing", "many/c": "not in dvc.lock"}


def test_a_folder_that_is_not_cached(project: Callable[..., Path]) -> None:
    root = project(
        plain={"cmd": "mkdir plain && echo a > plain/a", "outs": [{"plain": {"cache": False}}]}
    )
    dvc.reproduce("plain", root, {}, print)
    assert not faults(root)
    rot(root / "plain" / "a")
    assert faults(root) == {"plain": "differs from dvc.lock"}


def test_files_of_frozen_stages_are_not_deleted(project: Callable[..., Path]) -> None:
    root = project(
        model={"cmd": "echo 1 > w", "frozen": True, "outs": [{"w": {"cache": False}}]},
    )
    (root / "w").write_text("1\n")
    (root / "dvc.lock").write_text(
        "schema: '2.0'\nstages:\n  model:\n    cmd: echo 1 > w\n    outs:\n    - path: w\n"
        "      hash: md5\n      md5: b026324c6904b2a9cb4b88d6d61c81d1\n      size: 2\n"
    )
    assert not faults(root)
    rot(root / "w")
    assert faults(root) == {"w": "differs from dvc.lock"}
    assert not remove(root, Verification(root).faults()) and (root / "w").exists()


def test_command(root: Path) -> None:
    run = CliRunner().invoke
    intact = run(app, ["verify"])
    assert intact.exit_code == 0 and "8 files" in intact.output
    rot(root / "one")
    found = run(app, ["verify"])
    assert found.exit_code == 1
    assert "one: one: differs from dvc.lock" in found.output and "1 corrupt" in found.output
    repaired = run(app, ["verify", "--repair"])
    assert repaired.exit_code == 0 and not (root / "one").exists()
    assert run(app, ["verify"]).exit_code == 1  # missing until the next run


def test_command_outside_a_project(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["verify", "--root", str(tmp_path)])
    assert result.exit_code == 2 and "--root" in result.stderr
