"""Versions of the dataset: annotated git tags ``dataset/YYYY.MM.DD.N``.

The commit of a version has the files of the code's commit plus dvc.lock, params.yaml and
version.json, which describes the version without any data. DVC's remote has the data. Working tree,
index and current branch of the user are never touched.
"""

import hashlib
import json
import re
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any

import yaml
from ruamel.yaml import YAML  # DVC's parser, which reads 1e-3 as a number

from facsimile.errors import FacsimileError
from flows.verification import uncached_outputs
from flows.version_contents import Contents
from tasks.params import PARAMS
from tasks.provenance.dvc_files import (
    LOCK,
    PIPELINE,
    declared_stages,
    locked_hashes,
    locked_stages,
)
from tasks.provenance.git import Git, GitError, split_paths, untracked_sources

BRANCH = "dataset"
METADATA = Path("version.json")
RECORDED = (PARAMS, LOCK, METADATA)
"""Files in the commit of a version that are not taken from the code's commit."""

_PREFIX = "dataset/"
_NAME = re.compile(r"dataset/(\d{4})\.(\d\d)\.(\d\d)\.(\d+)")


@dataclass(frozen=True)
class Version:
    """A published version of the dataset.

    Attributes:
        name: its tag, such as ``dataset/2026.11.25.1``.
        commit: git commit of the version.
        code: git commit of the code that generated the data.
        published: time in ISO 8601, UTC.
        outputs: digest of all outputs, see `outputs_digest`.
        remote: name of the DVC remote that the data was uploaded to.
        contents: row counts and headline figures.
    """

    name: str
    commit: str
    code: str
    published: str
    outputs: str
    remote: str
    contents: Contents


class VersionStore:
    """The versions in the git repository of a project.

    Args:
        root: project folder.

    Attributes:
        git: git in the project folder.
        head: commit checked out.

    Raises:
        FacsimileError: there is no git, no commit, or git does not have the files of the project.
    """

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()
        self.git = Git(self.root)
        try:
            self.head = self.git("rev-parse", "--verify", "--quiet", "HEAD").strip()
            self._folder = self.git("rev-parse", "--show-prefix").rstrip("\n")
            if not self.git("ls-files", "--", str(PIPELINE)):
                raise GitError(f"{PIPELINE} is not in git")
        except GitError as error:
            raise FacsimileError(
                f"{self.root}: {error}; versions are tags of git: commit the project first"
            ) from None

    def all(self) -> list[Version]:
        """All versions, the newest first.

        Raises:
            FacsimileError: git failed, or a tag has no readable version.json.
        """
        listing = self.git(
            "for-each-ref", "--format=%(refname:strip=2) %(*objectname)", f"refs/tags/{_PREFIX}"
        )
        commits = dict(line.split(" ") for line in listing.splitlines())
        # A tag that is not annotated has no peeled commit, and is no version.
        tags = (tag for tag, commit in commits.items() if commit and _NAME.fullmatch(tag))
        names = sorted(tags, key=_order, reverse=True)
        texts = self._contents([f"{commits[name]}:{self._folder}{METADATA}" for name in names])
        # A repository may hold several projects; tags of the others have no file in this folder.
        return [
            _parse(name, commits[name], text)
            for name, text in zip(names, texts, strict=True)
            if text is not None
        ]

    def find(self, name: str) -> Version:
        """The version with a name; the prefix ``dataset/`` can be omitted.

        Raises:
            FacsimileError: there is none.
        """
        versions = self.all()
        full = name if name.startswith(_PREFIX) else f"{_PREFIX}{name}"
        for version in versions:
            if version.name == full:
                return version
        newest = f"the newest is {versions[0].name}" if versions else "none is published yet"
        raise FacsimileError(f"no version {name}: {newest}; `facsimile versions` lists all")

    def matching(self, outputs: Mapping[str, str]) -> Version | None:
        """The newest version with these outputs (path → MD5); None if there is none."""
        digest = outputs_digest(outputs)
        return next((version for version in self.all() if version.outputs == digest), None)

    def read(self, revision: str, path: Path | str) -> bytes | None:
        """Content of a file in a commit or tag; None if it has no such file."""
        return self._contents([f"{revision}:{self._folder}{path}"])[0]

    def blobs(self, revisions: Iterable[str], path: Path | str) -> set[str]:
        """Git hashes of the contents of a file in several commits or tags."""
        names = "".join(f"{revision}:{self._folder}{path}\n" for revision in revisions)
        lines = self.git.run("cat-file", "--batch-check", content=names.encode()).decode()
        return {line.split(" ")[0] for line in lines.splitlines() if " blob " in line}

    def cached_outputs(self, version: Version) -> dict[str, str]:
        """Path → MD5 of the outputs of a version that DVC stores."""
        declared = yaml.safe_load(self.read(version.name, PIPELINE))["stages"]
        locked = YAML(typ="safe").load(self.read(version.name, LOCK))["stages"]
        return {
            path: digest
            for name, stage in declared.items()
            for path, digest in locked_hashes(locked.get(name, {}), "outs").items()
            if path not in uncached_outputs(stage)
        }

    def changed_files(self, old: Version, new: Version | None = None) -> dict[str, str]:
        """Path → git's status letter of files that differ, except for `RECORDED`.

        Args:
            old: a version.
            new: another one; None for the working tree.
        """
        revisions = [old.name, *([new.name] if new else [])]
        options = ("--name-status", "--no-renames", "--no-ext-diff", "-z", "--relative")
        listing = iter(split_paths(self.git("diff", *options, *revisions, "--", ".")))
        changed = {path: status for status, path in zip(listing, listing, strict=True)}
        if new is None:
            changed |= dict.fromkeys(untracked_sources(self.git), "A")
        recorded = {str(path) for path in RECORDED}
        return {path: changed[path] for path in sorted(changed.keys() - recorded)}

    def read_by_stages(self, version: Version, paths: Iterable[str]) -> list[str]:
        """Those of the paths that results depend on: dvc.yaml and dependencies of its stages."""
        declared = yaml.safe_load(self.read(version.name, PIPELINE))["stages"]
        deps = (dep for stage in declared.values() for dep in stage.get("deps", ()))
        return paths_within(paths, [PIPELINE, *deps])

    def check_branch(self, branch: str) -> None:
        """Check that versions can be committed to a branch.

        Raises:
            FacsimileError: they cannot, or git does not know who commits.
        """
        try:
            self.git("check-ref-format", "--branch", branch)
        except GitError:
            raise FacsimileError(f"{branch!r} is not a valid name of a branch") from None
        checked_out = self.git("worktree", "list", "--porcelain").splitlines()
        if f"branch refs/heads/{branch}" in checked_out:
            raise FacsimileError(
                f"branch {branch} is checked out; switch to the branch of your code, or choose "
                "another branch for versions with --branch"
            )
        if self.git("for-each-ref", f"refs/heads/{branch}/"):
            raise FacsimileError(
                f"git cannot have a branch {branch} beside branches {branch}/…; choose another "
                "with --branch"
            )
        tip = self._tip(branch)
        if tip and self.read(tip, METADATA) is None:
            raise FacsimileError(
                f"branch {branch} does not consist of versions; choose another with --branch"
            )
        try:
            self.git("var", "GIT_COMMITTER_IDENT")
        except GitError:
            raise FacsimileError(
                "git does not know who you are: run `git config user.name NAME` and "
                "`git config user.email ADDRESS`"
            ) from None

    def commit(
        self,
        branch: str,
        outputs: Mapping[str, str],
        files: Mapping[Path, bytes],
        contents: Contents,
        remote: str,
    ) -> Version:
        """Commit a version of the code checked out to a branch, and tag it.

        Args:
            branch: see `check_branch`.
            outputs: path → MD5.
            files: contents of params.yaml and dvc.lock.
            contents: row counts and headline figures.
            remote: name of the DVC remote with the data.

        Raises:
            FacsimileError: git failed.
        """
        now = datetime.now(UTC)
        name = self._next_name(now)
        values = {
            "name": name,
            "code": self.head,
            "published": now.isoformat(timespec="seconds"),
            "outputs": outputs_digest(outputs),
            "remote": remote,
            "contents": asdict(contents),
        }
        text = json.dumps(values, indent=2, ensure_ascii=False) + "\n"
        tree = self._tree(self.head, {**files, METADATA: text.encode()})
        tip = self._tip(branch)
        parents = dict.fromkeys(filter(None, (tip, self.head)))
        message = f"Publish {name}\n\n{contents.summary()}\n"
        options = [part for parent in parents for part in ("-p", parent)]
        commit = self.git.run("commit-tree", tree, *options, content=message.encode())
        commit = commit.decode().strip()
        tagger = self.git("var", "GIT_COMMITTER_IDENT").strip()
        tag = f"object {commit}\ntype commit\ntag {name}\ntagger {tagger}\n\n{message}"
        tag = self.git.run("mktag", content=tag.encode()).decode().strip()
        # One transaction: both references are written, or neither.
        changes = (
            "start",
            f"create refs/tags/{name} {tag}",
            f"update refs/heads/{branch} {commit}",
            "prepare",
            "commit",
        )
        self.git.run("update-ref", "--stdin", content="".join(f"{c}\n" for c in changes).encode())
        return _parse(name, commit, text.encode())

    def _tree(self, code: str, files: Mapping[Path, bytes]) -> str:
        """Hash of a tree with the files of a commit and some other contents."""
        with tempfile.TemporaryDirectory() as folder:
            git = Git(self.root, {"GIT_INDEX_FILE": str(Path(folder) / "index")})
            git("read-tree", code)
            for path, content in files.items():
                blob = git.run("hash-object", "-w", "--stdin", content=content).decode().strip()
                entry = f"100644,{blob},{self._folder}{path}"
                git("update-index", "--add", "--cacheinfo", entry)
            return git("write-tree").strip()

    def _tip(self, branch: str) -> str:
        """Last commit of a branch, or of its counterpart in the remote repository; may be empty."""
        for reference in (f"refs/heads/{branch}", f"refs/remotes/origin/{branch}"):
            if commit := self.git("for-each-ref", "--format=%(objectname)", reference).strip():
                return commit
        return ""

    def _next_name(self, now: datetime) -> str:
        """The next name of the day. Versions of all projects in the repository count."""
        today = f"{_PREFIX}{now:%Y.%m.%d}."
        tags = self.git("for-each-ref", "--format=%(refname:strip=2)", f"refs/tags/{_PREFIX}")
        numbers = [
            int(tag.removeprefix(today))
            for tag in tags.splitlines()
            if tag.startswith(today) and _NAME.fullmatch(tag)
        ]
        return f"{today}{max(numbers, default=0) + 1}"

    def _contents(self, names: list[str]) -> list[bytes | None]:
        """Contents of git objects; None for those that do not exist."""
        if not names:
            return []
        content = "".join(f"{name}\n" for name in names).encode()
        output = self.git.run("cat-file", "--batch", content=content)
        contents: list[bytes | None] = []
        for _ in names:
            header, _, output = output.partition(b"\n")
            if header.endswith(b" missing"):
                contents.append(None)
                continue
            size = int(header.rsplit(b" ", 1)[1])
            contents.append(output[:size])
            output = output[size + 1 :]
        return contents


def published_version(root: Path) -> Version | None:
    """The version that has the data recorded in dvc.lock; None without one, or without git."""
    outputs = current_outputs(root)
    try:
        return VersionStore(root).matching(outputs) if outputs else None
    except FacsimileError:
        return None


def current_outputs(root: Path) -> dict[str, str]:
    """Path → MD5 of the outputs of all stages in dvc.yaml, as recorded in dvc.lock."""
    locked = locked_stages(root)
    return {
        path: digest
        for stage in declared_stages(root)
        for path, digest in locked_hashes(locked.get(stage, {}), "outs").items()
    }


def outputs_digest(outputs: Mapping[str, str]) -> str:
    """Digest of outputs, given as path → MD5. Versions with the same digest have the same data."""
    return hashlib.md5(json.dumps(sorted(outputs.items())).encode()).hexdigest()


def paths_within(paths: Iterable[str], places: Iterable[Path | str]) -> list[str]:
    """Those of the paths that are among some files and folders, or below them."""
    found = set(map(PurePosixPath, places))
    return [
        path
        for path in paths
        if found.intersection((PurePosixPath(path), *PurePosixPath(path).parents))
    ]


def shorten(names: Sequence[str]) -> str:
    """The first name and the number of others."""
    return f"{names[0]} and {len(names) - 1} more" if len(names) > 1 else names[0]


def _order(name: str) -> tuple[int, ...]:
    return tuple(map(int, _NAME.fullmatch(name).groups()))


def _parse(name: str, commit: str, text: bytes) -> Version:
    try:
        values: dict[str, Any] = json.loads(text)
        fields = {key: values[key] for key in ("code", "published", "outputs", "remote")}
        return Version(name=name, commit=commit, contents=Contents(**values["contents"]), **fields)
    except (ValueError, KeyError, TypeError) as error:
        raise FacsimileError(f"{name}: unreadable {METADATA} ({error})") from None
