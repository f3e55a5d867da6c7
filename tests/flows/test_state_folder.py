"""What tools keep, they keep in the project; and a project without git is a project, too."""

import stat
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli.app import app
from facsimile.errors import FacsimileError
from flows import dvc, state_folder

pytestmark = pytest.mark.slow

STAGE = {"cmd": "cp in out", "deps": ["in"], "outs": ["out"]}
# How DVC configures a project that is under git.
UNDER_GIT = "[core]\n    analytics = false\n"


def test_files_that_dvc_unpickles_are_private(project: Callable[..., Path]) -> None:
    root = project(a=STAGE)
    (root / "in").write_text("1")
    dvc.reproduce("a", root, {}, print)
    assert list((root / ".facsimile" / "dvc" / "repo").glob("*/hashes"))
    assert stat.S_IMODE((root / ".facsimile").stat().st_mode) == 0o700
    # DVC by hand may have made it, open to all.
    (root / ".facsimile").chmod(0o777)
    dvc.stale_stages(root)
    assert stat.S_IMODE((root / ".facsimile").stat().st_mode) == 0o700
    git = ["git", "init", "-q"], ["git", "status", "--porcelain", "--untracked-files=all"]
    *_, status = [subprocess.run(c, cwd=root, capture_output=True, text=True) for c in git]
    assert ".facsimile" not in status.stdout and "dvc.lock" in status.stdout


def test_user_settings_stay(
    project: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = project(a=STAGE)
    monkeypatch.setenv("DVC_SITE_CACHE_DIR", str(tmp_path / "own"))
    monkeypatch.setenv("HOME", str(tmp_path))
    assert not {"DVC_SITE_CACHE_DIR", "HOME", "USER"} & state_folder.environment(root).keys()
    dvc.stale_stages(root)
    assert list((tmp_path / "own" / "repo").iterdir())


@pytest.mark.parametrize("missing", ["/nonexistent", None])
def test_a_user_without_a_home_has_one_in_the_project(
    project: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, missing: str | None
) -> None:
    """As in a container that runs under a bare user id."""
    root = project(a=STAGE)
    for name in ("HOME", "USER", "LOGNAME", "LNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)
    if missing:
        monkeypatch.setenv("HOME", missing)
    monkeypatch.setattr("pwd.getpwuid", lambda uid: {}[uid])
    found = state_folder.user_environment(root)
    assert Path(found["HOME"]).parent == root / ".facsimile" and found["USER"].isdigit()


def test_a_folder_that_cannot_be_made_is_reported_in_one_line(project: Callable[..., Path]) -> None:
    root = project(a=STAGE)
    (root / ".facsimile").write_text("a file")
    with pytest.raises(FacsimileError, match=r"\.facsimile.*: File exists|Not a directory"):
        dvc.stale_stages(root)
    result = CliRunner().invoke(app, ["status"])
    assert result.exit_code == 2
    assert result.stderr.splitlines()[-1].startswith(f"facsimile: {root / '.facsimile'}")


def test_a_project_without_git_runs_with_a_note(
    project: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    root = project(a=STAGE)
    (root / "in").write_text("1")
    (root / ".dvc" / "config").write_text(UNDER_GIT)
    (root / "system").mkdir()
    (root / "system" / "config").write_text("['remote \"lab\"']\n    url = /lab\n")
    monkeypatch.setenv("DVC_SYSTEM_CONFIG_DIR", str(root / "system"))

    result = CliRunner().invoke(app, ["status"])
    assert result.exit_code == 0, result.output
    assert "not under git" in result.stderr and result.stderr.count("\n") == 1
    assert dvc.reproduce("a", root, {}, print)
    # For this run alone, and on top of what was set.
    assert (root / ".dvc" / "config").read_text() == UNDER_GIT
    config = Path(state_folder.environment(root)["DVC_SYSTEM_CONFIG_DIR"]) / "config"
    assert "/lab" in config.read_text()

    subprocess.run(["git", "init", "-q"], cwd=root, check=True)
    assert "DVC_SYSTEM_CONFIG_DIR" not in state_folder.environment(root)
    assert "not under git" not in CliRunner().invoke(app, ["status"]).stderr
