"""The revision of the code: what counts as a change, and why a commit is not known."""

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from facsimile.errors import FacsimileError
from tasks import evaluate
from tasks.provenance.git import (
    NOTED,
    Revision,
    changed_since,
    current_revision,
    read_revision,
    since,
)

FILES = ("facsimile/a.py", "params.yaml", "dvc.yaml", "data/config/au_graph.yaml", "README.md")


def git(root: Path, *arguments: str) -> str:
    identity = ("-c", "user.name=x", "-c", "user.email=x@x")
    command = ["git", *identity, *arguments]
    return subprocess.run(command, cwd=root, check=True, capture_output=True, text=True).stdout


def write(root: Path, name: str, text: str = "changed") -> None:
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).write_text(text)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "a ?b ü"
    for name in (*FILES, "data/generator/generator.safetensors"):
        write(root, name, f"name: {name}")
    (root / ".gitignore").write_text("/build/\n")
    git(root, "init", "-q")
    git(root, "add", "-A")
    git(root, "commit", "-q", "-m", "x")
    return root


def head(root: Path) -> str:
    return git(root, "rev-parse", "HEAD").strip()


def test_outputs_of_a_run_are_no_change(root: Path) -> None:
    for name in ("dvc.lock", "data/ingest/part-0.parquet", "data/edit/x.py", "notes.txt"):
        write(root, name)
    write(root, "data/generator/generator.safetensors", "of an own checkpoint")
    write(root, "build/x.py")
    (root / "facsimile" / "a.py").touch()
    (root / "facsimile" / "a.py").chmod(0o755)
    revision = read_revision(root)
    assert revision == Revision(head(root), changed=False)
    assert str(revision) == head(root)


@pytest.mark.parametrize("name", [*FILES, "new.py", "my_package/landmarks.py", "facsimile/b.css"])
def test_code_params_and_configs_are(root: Path, name: str) -> None:
    write(root, name)
    revision = read_revision(root)
    assert revision == Revision(head(root), changed=True)
    assert str(revision) == f"{head(root)}, with uncommitted changes"


def test_a_change_that_is_staged_or_a_file_removed(root: Path) -> None:
    (root / "facsimile" / "a.py").unlink()
    assert read_revision(root).changed
    git(root, "add", "-A")
    assert read_revision(root).changed


def test_a_python_environment_is_no_source(root: Path) -> None:
    write(root, "venv/pyvenv.cfg")
    write(root, "venv/lib/python3.11/site-packages/torch/nn.py")
    assert not read_revision(root).changed


def test_a_project_in_a_folder_of_a_repository(root: Path, tmp_path: Path) -> None:
    (tmp_path / "outer").mkdir()
    git(tmp_path / "outer", "init", "-q")
    inner = tmp_path / "outer" / "inner"
    shutil.copytree(root, inner, ignore=shutil.ignore_patterns(".git"))
    git(inner, "add", ".")
    git(inner, "commit", "-q", "-m", "y")
    write(inner, "dvc.lock")
    write(inner, "data/edit/x")
    write(inner.parent, "elsewhere.py")
    assert read_revision(inner) == Revision(head(inner))
    write(inner, "params.yaml")
    assert read_revision(inner).changed


def test_a_copy_inside_the_project_is_of_its_revision(root: Path) -> None:
    copy = root / "build" / "plain-table"
    shutil.copytree(root, copy, ignore=shutil.ignore_patterns(".git", "build"))
    assert read_revision(copy) == Revision(head(root))
    write(root, "facsimile/a.py")
    assert read_revision(copy).changed


def no_repository(root: Path) -> None:
    shutil.rmtree(root / ".git")


def in_another_repository(root: Path) -> None:
    no_repository(root)
    git(root.parent, "init", "-q")
    git(root.parent, "commit", "-q", "--allow-empty", "-m", "dotfiles")


def without_commit(root: Path) -> None:
    no_repository(root)
    git(root, "init", "-q")


@pytest.mark.parametrize(
    ("prepare", "why"),
    [
        (no_repository, "no git repository"),
        (in_another_repository, "no git repository"),
        (without_commit, "no commit yet"),
    ],
)
def test_unknown_commit(root: Path, prepare: Callable[[Path], None], why: str) -> None:
    prepare(root)
    assert str(read_revision(root)) == f"unknown ({why})"


@pytest.mark.parametrize(
    ("prepare", "why"),
    [(lambda root: None, "git is not installed"), (no_repository, "no git repository")],
)
def test_git_is_not_installed(
    root: Path, monkeypatch: pytest.MonkeyPatch, prepare: Callable[[Path], None], why: str
) -> None:
    prepare(root)
    monkeypatch.setenv("PATH", str(root))
    assert read_revision(root) == Revision(unknown=why)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="chown needs root")
def test_a_checkout_of_another_user(root: Path) -> None:
    """As in a container that mounts it."""
    commit = head(root)
    for path in (root, root / ".git"):
        os.chown(path, 12345, 12345)
    refused = subprocess.run(["git", "status"], cwd=root, capture_output=True, text=True)
    assert "dubious ownership" in refused.stderr
    assert read_revision(root) == Revision(commit)
    # A repository around the project is not trusted: another user may have put it there.
    inner = root / "inner"
    write(inner, "dvc.yaml")
    assert str(read_revision(inner)) == (
        f"unknown ({root} belongs to another user; "
        f"`git config --global --add safe.directory {root}` trusts it)"
    )


def test_a_hook_that_runs_this_names_another_repository(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "other" / ".git"))
    monkeypatch.setenv("GIT_INDEX_FILE", str(tmp_path / "other" / "index"))
    revision = read_revision(root)
    monkeypatch.undo()
    assert revision == Revision(head(root))


def test_a_commit_made_meanwhile_is_not_claimed(root: Path) -> None:
    noted = read_revision(root)
    git(root, "commit", "-q", "--allow-empty", "-m", "meanwhile")
    assert since(noted, root) == noted != read_revision(root)
    write(root, "facsimile/a.py")
    git(root, "commit", "-q", "-a", "-m", "and code")
    assert since(noted, root) == Revision(noted.commit, changed=True)


def test_a_stage_takes_what_its_flow_has_noted(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert current_revision(root) == read_revision(root)
    noted = Revision("0" * 40, changed=True)
    monkeypatch.setenv(NOTED, noted.to_json())
    assert current_revision(root) == noted


def test_the_report_names_a_clean_checkout(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(root, "dvc.lock", "stages: {}\n")
    monkeypatch.chdir(root)
    lineage = evaluate.lineage()
    assert (lineage["git_commit"], lineage["git_dirty"]) == (head(root), False)
    no_repository(root)
    assert evaluate.lineage()["git_unknown"] == "no git repository"


def test_changes_since_a_branch_begin_where_the_current_one_left_it(root: Path) -> None:
    git(root, "branch", "-M", "main")
    left = head(root)
    git(root, "checkout", "-q", "-b", "work")
    for name in ("facsimile/a.py", "README.md"):
        write(root, name)
    git(root, "commit", "-q", "-a", "-m", "y")
    write(root, "params.yaml")
    write(root, "new.py")
    git(root, "stash", "-q", "-u")
    git(root, "checkout", "-q", "main")
    write(root, "dvc.yaml")
    git(root, "commit", "-q", "-a", "-m", "main goes on")
    git(root, "checkout", "-q", "work")
    git(root, "stash", "pop", "-q")
    assert changed_since(root, "main") == (
        left,
        ["README.md", "facsimile/a.py", "new.py", "params.yaml"],
    )
    with pytest.raises(FacsimileError, match="changes since nowhere: fatal: Not a valid object"):
        changed_since(root, "nowhere")


def test_changes_of_a_project_without_git_are_unknown(tmp_path: Path) -> None:
    with pytest.raises(FacsimileError, match="changes since main: no git repository"):
        changed_since(tmp_path, "main")
