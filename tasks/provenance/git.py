"""Git: the commit of the code, and the files that differ from it.

Changes of code, params and configs count, and so do source files that are not in git yet. Files
that the pipeline writes (dvc.lock, and data/ except data/config) do not: dvc.lock has their hashes.
"""

import json
import os
import re
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path, PurePosixPath

from facsimile.errors import FacsimileError

NOTED = "FACSIMILE_REVISION"
"""Environment variable that hands the revision at the start of a flow to its stages, as JSON."""

_ARTEFACTS = ("dvc.lock", "data")
_CONFIGS = "data/config"
_SOURCES = ("*.py", "facsimile", "tasks", "flows", "cli", _CONFIGS, "dvc.yaml", "params.yaml")
_FOREIGN = re.compile(r"dubious ownership in repository at '(.+)'")
# Variables that git sets for hooks; they would point to the repository of the hook.
_HOOK_VARIABLES = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_COMMON_DIR", "GIT_PREFIX")


@dataclass(frozen=True)
class Revision:
    """Revision of the code in a project folder.

    Attributes:
        commit: hash of the commit checked out; empty if unknown.
        changed: whether code, params or configs differ from that commit.
        unknown: why the commit is unknown; empty if it is known.
    """

    commit: str = ""
    changed: bool = False
    unknown: str = ""

    def __str__(self) -> str:
        if not self.commit:
            return f"unknown ({self.unknown})"
        return f"{self.commit}, with uncommitted changes" if self.changed else self.commit

    def to_json(self) -> str:
        return json.dumps(asdict(self))


def current_revision(root: Path) -> Revision:
    """The revision when the flow that runs this stage started; the current one without a flow."""
    noted = os.environ.get(NOTED)
    return Revision(**json.loads(noted)) if noted else read_revision(root)


def read_revision(root: Path) -> Revision:
    """The current revision of the code in `root`."""
    git = Git(root.resolve())
    try:
        commit = git("rev-parse", "--verify", "--quiet", "HEAD").strip()
        if not git("ls-files", "--", "."):
            git = _outer(git)
    except GitError as error:
        return Revision(unknown=str(error))
    return Revision(commit, bool(changed_files(git, commit)))


def since(noted: Revision, root: Path) -> Revision:
    """The revision for a part of a run that begins now.

    Keeps the commit noted when the run began, even if another commit has been checked out since.
    Files that differ from the noted commit count as changes.
    """
    if not noted.commit or noted.changed:
        return noted
    git = Git(root.resolve())
    try:
        if not git("ls-files", "--", "."):
            git = _outer(git)
        return replace(noted, changed=bool(changed_files(git, noted.commit)))
    except GitError:  # the repository has been removed
        return replace(noted, changed=True)


def changed_since(root: Path, base: str) -> tuple[str, list[str]]:
    """Files of a project that differ from the commit where its branch left `base`.

    Uncommitted changes count, and so do source files that are not in git yet.

    Args:
        root: project folder.
        base: commit, branch or tag.

    Returns:
        The commit, and the paths relative to `root`.

    Raises:
        FacsimileError: git cannot be read, or `base` is not a revision.
    """
    git = Git(root.resolve())
    try:
        commit = git("merge-base", "--", base, "HEAD").strip()
        tracked = git("diff", "--name-only", "--no-ext-diff", "-z", "--relative", commit, "--", ".")
        return commit, sorted({*split_paths(tracked), *untracked_sources(git)})
    except GitError as error:
        raise FacsimileError(f"changes since {base}: {error}") from error


class GitError(FacsimileError):
    """Git failed; the message says why, in one line."""


class Git:
    """Runs git in one folder.

    Args:
        root: the folder, absolute.
        environment: variables added to those of this process.
    """

    def __init__(self, root: Path, environment: Mapping[str, str] | None = None) -> None:
        self.root = root
        self.environment = dict(environment or {})

    def __call__(self, *arguments: str) -> str:
        """Run git and return its output as text.

        Raises:
            GitError: git failed.
        """
        return self.run(*arguments).decode("utf-8", "surrogateescape")

    def run(self, *arguments: str, content: bytes = b"") -> bytes:
        """Run git with `content` as standard input and return its output.

        Raises:
            GitError: git failed.
        """
        # In a container the checkout often belongs to another user, and git refuses to read it.
        # Running this pipeline means running the code in `root`, so that folder is trusted, those
        # above it are not. Programs that its git config names are not started either way.
        settings = (f"safe.directory={self.root}", "core.fsmonitor=false", "core.fileMode=false")
        options = [part for setting in settings for part in ("-c", setting)]
        # Do not lock the index, so that a concurrent `git commit` does not fail.
        environment = {**os.environ, "GIT_OPTIONAL_LOCKS": "0", "LC_ALL": "C"}
        environment = {key: environment[key] for key in environment if key not in _HOOK_VARIABLES}
        environment |= self.environment
        try:
            result = subprocess.run(
                ["git", *options, *arguments],
                cwd=self.root,
                env=environment,
                input=content,
                capture_output=True,
            )
        except FileNotFoundError:
            raise GitError(self._without_git()) from None
        if result.returncode:
            raise GitError(self._reason(result.stderr.decode("utf-8", "surrogateescape")))
        return result.stdout

    def _without_git(self) -> str:
        folders = (self.root, *self.root.parents)
        under_git = any((folder / ".git").exists() for folder in folders)
        return "git is not installed" if under_git else "no git repository"

    def _reason(self, stderr: str) -> str:
        if "not a git repository" in stderr:
            return "no git repository"
        if foreign := _FOREIGN.search(stderr):
            return (
                f"{foreign[1]} belongs to another user; "
                f"`git config --global --add safe.directory {foreign[1]}` trusts it"
            )
        if not stderr.strip():
            return "no commit yet"
        return stderr.strip().splitlines()[0]


def _outer(git: Git) -> Git:
    """The repository around a project that has no files in git itself, such as build/plain-table.

    Raises:
        GitError: the repository around it is another one.
    """
    outer = Git(Path(git("rev-parse", "--show-toplevel").rstrip("\n")))
    if not outer("ls-files", "--", "dvc.yaml"):
        raise GitError("no git repository")
    return outer


def changed_files(git: Git, commit: str) -> list[str]:
    """Files that count as changes and differ from `commit`, relative to the folder of `git`.

    Raises:
        GitError: git failed.
    """
    tracked = git("diff", "--name-only", "--no-ext-diff", "-z", "--relative", commit, "--", ".")
    found = (*split_paths(tracked), *untracked_sources(git))
    return [path for path in found if not _is_artefact(path)]


def untracked_sources(git: Git) -> list[str]:
    """Source files that git neither tracks nor ignores, relative to the folder of `git`."""
    found = git("ls-files", "--others", "--exclude-standard", "-z", "--", *_SOURCES)
    return [
        path
        for path in split_paths(found)
        if not _is_artefact(path) and not _in_environment(git.root, path)
    ]


def split_paths(listing: str) -> Iterator[str]:
    """Paths in the output of a git command with ``-z``."""
    return (path for path in listing.split("\0") if path)


def _is_artefact(path: str) -> bool:
    if path == _CONFIGS or path.startswith(f"{_CONFIGS}/"):
        return False
    return PurePosixPath(path).parts[0] in _ARTEFACTS


def _in_environment(root: Path, path: str) -> bool:
    """Whether a file belongs to a Python environment that git does not ignore."""
    parents = (root / path).relative_to(root).parents
    return any((root / parent / "pyvenv.cfg").exists() for parent in parents)
