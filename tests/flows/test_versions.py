"""Publishing versions, checking them out, and comparing them."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli.app import app
from facsimile.digests import file_md5
from facsimile.errors import FacsimileError
from flows import dvc, publication
from flows.dvc_remote import choose_remote, read_remotes
from flows.publication import publish_version
from flows.verification import cached_path
from flows.version_checkout import check_out
from flows.version_diff import Change, compare
from flows.versions import VersionStore, published_version
from tests.support.files import rot
from tests.support.versions import (
    commit,
    git,
    hashes,
    run_stages,
    wipe,
    write_figures,
    write_generated,
)

pytestmark = pytest.mark.slow


@pytest.fixture
def root(version_project: Path) -> Path:
    """A project whose stages have run."""
    return version_project


@pytest.fixture(scope="module")
def published_once(version_project_once: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project, beside the remote with its first version."""
    root = tmp_path_factory.mktemp("published") / "faces"
    shutil.copytree(version_project_once, root, symlinks=True)
    assert publish_version(root).new
    return root


@pytest.fixture
def published(published_once: Path, tmp_path: Path) -> Path:
    shutil.copytree(published_once.parent, tmp_path / "copy", symlinks=True)
    root = tmp_path / "copy" / "faces"
    dvc.query(root, "remote", "modify", "--local", "versions", "url", f"{root}-versions")
    return root


def names(root: Path) -> list[str]:
    return [version.name for version in VersionStore(root).all()]


def change(root: Path) -> None:
    """Change a param, code and inputs, and run the stages again."""
    text = (root / "params.yaml").read_text()
    (root / "params.yaml").write_text(text.replace("min_jaccard: 0.5", "min_jaccard: 0.25"))
    (root / "code.py").write_text("print('second')\n")
    write_generated(root, edited=7, synthetic=1)
    write_figures(root, 0.75)
    commit(root)
    run_stages(root, "filter", "evaluate")


def up_to_date(root: Path) -> bool:
    return dvc.stale_stages(root, ["ingest", "filter", "evaluate"]) == {}


def test_a_version_is_a_commit_of_code_params_and_lock(root: Path) -> None:
    head, status = git(root, "rev-parse", "HEAD").strip(), git(root, "status", "--short")
    version = publish_version(root).version
    assert names(root) == [version.name]
    assert git(root, "cat-file", "-t", version.name) == "tag\n"
    assert git(root, "rev-parse", "dataset^{commit}").strip() == version.commit
    assert git(root, "rev-parse", "dataset^@").split() == [head] == [version.code]
    added = git(root, "diff", "--name-status", "main", "dataset").splitlines()
    assert added == ["A\tdvc.lock", "A\tversion.json"]
    for name in ("dvc.lock", "params.yaml"):
        assert VersionStore(root).read("dataset", name) == (root / name).read_bytes()
    contents = version.contents
    assert contents.summary() == "6 real and 6 generated faces (4 edited, 2 synthetic)"
    assert contents.rows["real"]["AU"]["AU12"] == 3
    assert contents.rows["real"]["group"] == {"male old": 6}
    assert contents.rows["edited"]["group"] == {"female young": 4}
    assert contents.figures["gain.real+generated"] == 0.25
    # Branch, index and working tree of the user
    assert git(root, "rev-parse", "HEAD").strip() == head
    assert git(root, "status", "--short") == status
    assert not (root / "version.json").exists()


def test_wiped_data_comes_back_byte_for_byte(published: Path) -> None:
    before = hashes(published)
    wipe(published)
    (published / "dvc.lock").unlink()
    result = check_out(published, names(published)[0])
    assert hashes(published) == before
    assert result.changed_code == () and result.bytes > 0
    assert up_to_date(published)


def test_versions_follow_each_other_and_both_come_back(published: Path) -> None:
    first, before = names(published)[0], hashes(published)
    change(published)
    second = publish_version(published).version
    after = hashes(published)
    assert names(published) == [second.name, first]
    day, number = first.rsplit(".", 1)
    assert number == "1" and second.name == f"{day}.2"
    parents = git(published, "rev-parse", "dataset^@").split()
    assert parents == [git(published, "rev-parse", f"{first}^{{commit}}").strip(), second.code]

    wipe(published)
    assert check_out(published, first).changed_code[0] == "code.py"
    assert hashes(published) == before
    assert check_out(published, second.name).changed_code == ()
    assert hashes(published) == after


def test_the_code_of_a_version_comes_by_the_command_that_is_named(published: Path) -> None:
    first, before = names(published)[0], hashes(published)
    change(published)
    second = publish_version(published).version.name
    result = CliRunner().invoke(app, ["checkout", first, "--root", str(published)])
    assert result.exit_code == 0, result.stderr
    assert "(code.py and 2 more)" in result.stderr and result.stderr.count("\n") == 1
    command = result.stderr.split("`")[1]
    subprocess.run(command, shell=True, cwd=published, check=True, capture_output=True)
    assert (published / "code.py").read_text() == "print('first')\n"
    assert hashes(published) == before and up_to_date(published)
    # The other way round: first the code, which brings dvc.lock, then the data
    git(published, "switch", "--detach", second)
    assert check_out(published, second).changed_code == ()
    assert up_to_date(published)
    assert not publish_version(published).new


def test_nothing_new_is_not_published(published: Path) -> None:
    first = names(published)[0]
    tip = git(published, "rev-parse", "dataset")
    (published / "README.md").write_text("Only text has changed.\n")
    commit(published)
    again = publish_version(published)
    assert not again.new and again.version.name == first
    assert names(published) == [first] and git(published, "rev-parse", "dataset") == tip

    change(published)
    publish_version(published)
    check_out(published, first)
    git(published, "checkout", "-q", first, "--", "code.py", "made")
    assert publish_version(published).version.name == first, "an older version"


def uncommitted_code(root: Path) -> None:
    (root / "README.md").write_text("changed")


def uncommitted_stage_code(root: Path) -> None:
    (root / "code.py").write_text("changed")


def stale_params(root: Path) -> None:
    text = (root / "params.yaml").read_text()
    (root / "params.yaml").write_text(text.replace("min_jaccard: 0.5", "min_jaccard: 0.25"))


def other_model(root: Path) -> None:
    (root / "data" / "model" / "weights").write_text("other weights\n")


def no_identity(root: Path) -> None:
    for name in ("user.name", "user.email"):
        git(root, "config", "--unset", name)
    git(root, "config", "user.useConfigOnly", "true")


def no_git(root: Path) -> None:
    shutil.rmtree(root / ".git")
    dvc.query(root, "config", "core.no_scm", "true")


def rotten_data(root: Path) -> None:
    dvc.stale_stages(root)  # DVC has seen the files; after that it trusts size and time
    rot(next((root / "data" / "filter" / "faces").glob("*.parquet")))


def rotten_cache(root: Path) -> None:
    rot(cached_path(dvc.cache_folder(root), file_md5(root / "data/evaluate/report.html")))


def on_the_branch(root: Path) -> None:
    git(root, "branch", "-m", "dataset")


def branch_of_code(root: Path) -> None:
    git(root, "branch", "dataset")


def branches_below(root: Path) -> None:
    git(root, "branch", "dataset/mine")


def unwritable_remote(root: Path) -> None:
    (root.parent / "file").write_text("")
    dvc.query(root, "remote", "add", "--local", "--default", "x", str(root.parent / "file" / "x"))


@pytest.mark.parametrize(
    ("prepare", "message"),
    [
        (uncommitted_code, "uncommitted changes in README.md: commit them first"),
        (uncommitted_stage_code, "not up to date: filter, evaluate (code.py modified); run"),
        (stale_params, "not up to date: filter, evaluate (filter"),
        (other_model, "data/model/weights differs from the last commit"),
        (no_identity, "git does not know who you are: run `git config user.name NAME`"),
        (no_git, "no git repository; versions are tags of git"),
        (rotten_data, ".parquet: differs from dvc.lock; run `facsimile verify --repair`"),
        (rotten_cache, ": corrupt in DVC's cache; run `facsimile verify --repair`"),
        (on_the_branch, "branch dataset is checked out; switch to the branch of your code"),
        (branch_of_code, "branch dataset does not consist of versions; choose another"),
        (branches_below, "git cannot have a branch dataset beside branches dataset/…"),
        (unwritable_remote, "dvc push, "),
    ],
)
def test_what_is_not_published(
    root: Path, monkeypatch: pytest.MonkeyPatch, prepare: Callable[[Path], None], message: str
) -> None:
    for scope in ("GLOBAL", "SYSTEM"):
        monkeypatch.setenv(f"GIT_CONFIG_{scope}", os.devnull)
    prepare(root)
    with pytest.raises(FacsimileError) as error:
        publish_version(root)
    assert message in str(error.value) and "\n" not in str(error.value)
    if (root / ".git").exists():
        assert names(root) == []
        assert git(root, "tag") == ""


def test_params_need_not_be_committed(root: Path) -> None:
    stale_params(root)
    run_stages(root, "filter")
    publish_version(root)
    assert b"min_jaccard: 0.25" in VersionStore(root).read("dataset", "params.yaml")
    assert "min_jaccard: 0.5" in git(root, "show", "HEAD:params.yaml")


@pytest.mark.parametrize("step", ["commit-tree", "update-ref"])
def test_killed_after_the_upload(root: Path, tmp_path: Path, step: str) -> None:
    """Git is replaced by a script that kills its caller at a step."""
    folder = tmp_path / "bin"
    folder.mkdir()
    real = shutil.which("git")
    script = f'case " $* " in *" {step} "*) kill -KILL $PPID; exit 1;; esac; exec {real} "$@"'
    (folder / "git").write_text(f"#!/bin/sh\n{script}\n")
    (folder / "git").chmod(0o755)
    code = (
        "import sys; from pathlib import Path; from flows.publication import publish_version; "
        "publish_version(Path(sys.argv[1]))"
    )
    environment = os.environ | {"PATH": f"{folder}{os.pathsep}{os.environ['PATH']}"}
    killed = subprocess.run([sys.executable, "-c", code, str(root)], env=environment)
    assert killed.returncode == -signal.SIGKILL
    assert list(Path(f"{root}-versions").rglob("*.dir")), "uploaded"
    assert git(root, "tag") == "" and git(root, "branch").split() == ["*", "main"]

    version = publish_version(root).version
    assert names(root) == [version.name] and version.name.endswith(".1")
    before = hashes(root)
    wipe(root)
    check_out(root, version.name)
    assert hashes(root) == before


def test_files_lost_in_the_remote_are_uploaded_again(published: Path) -> None:
    """DVC alone would not notice."""
    store = Path(f"{published}-versions")
    parquet = next((published / "data" / "ingest").rglob("*.parquet"))
    stored = [path for path in store.rglob("*") if path.is_file()]
    (lost,) = [path for path in stored if path.read_bytes() == parquet.read_bytes()]
    lost.unlink()
    change(published)
    publish_version(published)
    assert lost.exists()


def test_an_upload_that_params_change_under_is_refused(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publication, "push", lambda root, remote, report: stale_params(root))
    with pytest.raises(FacsimileError, match=r"params.yaml or dvc.lock was changed"):
        publish_version(root)
    assert git(root, "tag") == ""


def test_a_folder_beside_the_project_is_the_default_remote(root: Path) -> None:
    assert choose_remote(root, None) == "versions"
    assert read_remotes(root).locations == {"versions": f"{root}-versions"}
    assert choose_remote(root, f"{root}-versions/") == "versions"
    assert git(root, "status", "--short").split() == ["??", "dvc.lock"]
    with pytest.raises(FacsimileError, match=r"dvc remote add --local NAME s3://bucket"):
        choose_remote(root, "s3://bucket")
    dvc.query(root, "remote", "add", "--local", "cloud", "s3://bucket")
    assert choose_remote(root, "cloud") == "cloud" and choose_remote(root, None) == "versions"


def changed_params(root: Path) -> None:
    with (root / "params.yaml").open("a") as file:
        file.write("# a remark\n")


def changed_data(root: Path) -> None:
    (root / "data" / "evaluate" / "report.html").write_text("<p>")


def changed_model(root: Path) -> None:
    (root / "data" / "model" / "weights").write_text("other")


@pytest.mark.parametrize(
    ("prepare", "lost"),
    [
        (changed_params, "params.yaml"),
        (changed_data, "data/evaluate"),
        (changed_model, "data/model/weights"),
        (change, "dvc.lock and 2 more"),
    ],
)
def test_a_checkout_loses_nothing_unless_forced(
    published: Path, prepare: Callable[[Path], None], lost: str
) -> None:
    (first,), before = names(published), hashes(published)
    prepare(published)
    changed = hashes(published)
    with pytest.raises(FacsimileError) as error:
        check_out(published, first)
    assert str(error.value).startswith(f"{lost} would be lost") and "--force" in str(error.value)
    assert hashes(published) == changed
    check_out(published, first, force=True)
    assert hashes(published) == before


def test_a_killed_checkout_is_completed_by_the_next(published: Path) -> None:
    first, before = names(published)[0], hashes(published)
    change(published)
    second = publish_version(published).version.name
    check_out(published, first)
    # As it may be left: the lock of the second, and part of the files
    store = VersionStore(published)
    for name in ("params.yaml", "dvc.lock"):
        (published / name).write_bytes(store.read(second, name))
    shutil.rmtree(published / "data" / "ingest")
    shutil.copy(published / "made/evaluate/metrics.json", published / "data/evaluate/metrics.json")
    check_out(published, second)
    check_out(published, first)
    assert hashes(published) == before


def test_data_that_is_missing_is_named_before_anything_changes(published: Path) -> None:
    (first,) = names(published)
    wipe(published)
    left = git(published, "status", "--short")
    dvc.query(published, "remote", "rename", "--local", "versions", "other")
    dvc.query(published, "remote", "modify", "--local", "other", "url", f"{published}-nowhere")
    with pytest.raises(FacsimileError, match=r"incomplete in .*-nowhere, and not in DVC's cache"):
        check_out(published, first)
    dvc.query(published, "remote", "remove", "--local", "other")
    with pytest.raises(FacsimileError, match="no remote is configured: `dvc remote add --local"):
        check_out(published, first)
    assert git(published, "status", "--short") == left
    with pytest.raises(FacsimileError, match=rf"no version 2001.1.1.1: the newest is {first}"):
        check_out(published, "2001.1.1.1")


def test_another_pipeline_needs_its_code_first(published: Path) -> None:
    (first,) = names(published)
    text = (published / "dvc.yaml").read_text().replace("data/evaluate", "data/results")
    (published / "dvc.yaml").write_text(text)
    with pytest.raises(FacsimileError, match=rf"\(data/evaluate\): `git switch .* {first}` brings"):
        check_out(published, first, force=True)


def test_a_fresh_clone_gets_a_version_and_continues_its_branch(
    published: Path, tmp_path: Path
) -> None:
    (first,), before = names(published), hashes(published)
    clone = tmp_path / "clone"
    git(tmp_path, "clone", "-q", "--branch", "main", str(published), str(clone))
    dvc.query(clone, "remote", "add", "--local", "--default", "mine", f"{published}-versions")
    check_out(clone, first)
    assert hashes(clone) == before
    git(clone, "config", "user.name", "Ben")
    git(clone, "config", "user.email", "ben@example.org")
    change(clone)
    publish_version(clone)
    assert git(clone, "merge-base", "origin/dataset", "dataset") == git(
        clone, "rev-parse", "origin/dataset"
    )


def test_diff_names_params_code_rows_and_figures(published: Path) -> None:
    (first,) = names(published)
    change(published)
    (published / "README.md").write_text("changed")
    here = compare(published, first)
    assert here.params == (Change("filter.min_jaccard", 0.5, 0.25),)
    assert "code.py" in here.code and here.code["code.py"] == "M"
    assert list(here.other_files) == ["README.md"]
    rows = {row.name: (row.old, row.new) for row in here.rows}
    assert rows["edited"] == (4, 7) and rows["synthetic"] == (2, 1)
    assert rows["edited, AU12"] == (4, 7) and rows["synthetic, female young"] == (2, 1)
    assert not any(name.startswith("real") for name in rows)
    figures = {figure.name: (figure.old, figure.new) for figure in here.figures}
    assert figures["f1.real+generated.mean"] == (0.5, 0.75)
    assert figures["gain.real+generated"] == (0.25, 0.5)

    git(published, "checkout", "-q", "README.md")
    second = publish_version(published).version.name
    wipe(published)  # two versions are compared without data
    between = compare(published, first, second)
    assert (between.params, between.rows, between.figures) == (here.params, here.rows, here.figures)
    assert between.code == here.code and not between.other_files


def test_lists_on_the_command_line(published: Path) -> None:
    (first,) = names(published)
    change(published)
    listed = CliRunner().invoke(app, ["versions", "--root", str(published)])
    assert listed.exit_code == 0
    (line,) = [line for line in listed.output.splitlines() if first in line]
    assert "6 (4 edited, 2 synthetic)" in line and "0.250" in line and "0.500" in line
    assert "*" not in line
    shown = CliRunner().invoke(app, ["diff", first, "--root", str(published)])
    assert shown.exit_code == 0, shown.output
    lines = [" ".join(line.split()) for line in shown.output.splitlines()]
    assert "filter.min_jaccard 0.5 0.25 -0.25" in lines
    assert "edited, AU12 4 7 +3" in lines and "M code.py" in lines
    check_out(published, first, force=True)
    listed = CliRunner().invoke(app, ["versions", "--root", str(published)])
    assert f"* {first}" in " ".join(listed.output.split())
    git(published, "checkout", "-q", first, "--", ".")
    same = CliRunner().invoke(app, ["diff", first, "--root", str(published)])
    assert same.output == "no difference\n"


def test_the_version_of_the_current_data(published: Path) -> None:
    (version,) = VersionStore(published).all()
    assert published_version(published) == version
    change(published)
    assert published_version(published) is None
    shutil.rmtree(published / ".git")
    assert published_version(published) is None
