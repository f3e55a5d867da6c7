"""Check out a version: params.yaml, dvc.lock and everything in data/, byte for byte."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from facsimile.errors import FacsimileError
from facsimile.files import atomic_file
from flows import dvc
from flows.dvc_remote import fetch, read_remotes
from flows.project_lock import project_lock
from flows.verification import (
    HashingProgress,
    cached_path,
    hash_files,
    output_digest,
    read_listing,
    require_intact,
    uncached_outputs,
)
from flows.versions import Version, VersionStore, current_outputs, outputs_digest, shorten
from tasks.params import PARAMS
from tasks.provenance.dvc_files import LOCK, PIPELINE, declared_stages
from tasks.provenance.git import changed_files, split_paths

_DATA = "data"


@dataclass(frozen=True)
class CheckedOut:
    """Result of a checkout.

    Attributes:
        version: the version.
        bytes: size of all files, each hashed.
        changed_code: files that stages read and that are not those of the version.
        uncommitted: whether the working tree has uncommitted changes of code.
    """

    version: Version
    bytes: int
    changed_code: tuple[str, ...]
    uncommitted: bool


def check_out(
    root: Path,
    name: str,
    *,
    force: bool = False,
    report: Callable[[str], None] = lambda text: None,
) -> CheckedOut:
    """Replace params.yaml, dvc.lock and data/ by those of a version. Code is left as it is.

    If it is interrupted, the same call completes it. Waits for a run in progress.

    Args:
        root: project folder.
        name: name of the version.
        force: also replace what is in no version.
        report: called with the progress as text.

    Raises:
        FacsimileError: there is no such version; something would be lost; data is missing in the
            remote; or dvc.yaml lacks outputs of the version.
    """
    root = root.resolve()
    store = VersionStore(root)
    version = store.find(name)
    with project_lock(root, "checkout", lambda holder: report(f"waiting for {holder}")):
        outputs = store.cached_outputs(version)
        _check_pipeline(store, version, outputs)
        if not force:
            _check_nothing_is_lost(store, report)
        _fetch(store, version, outputs, report)
        report("replacing files")
        if store.git("ls-tree", "-r", "--name-only", version.name, "--", _DATA):
            store.git("restore", "--worktree", f"--source={version.name}", "--", _DATA)
        for path in (PARAMS, LOCK):
            with atomic_file(root / path) as temporary:
                temporary.write_bytes(store.read(version.name, path))
        if outputs:
            dvc.query(root, "checkout", "--force", *outputs)
        size = require_intact(
            root,
            report,
            "`facsimile verify --repair` deletes corrupt files, then check out again",
        )
    return CheckedOut(
        version,
        size,
        tuple(store.read_by_stages(version, store.changed_files(version))),
        any(path != str(PARAMS) for path in changed_files(store.git, store.head)),
    )


def _check_pipeline(store: VersionStore, version: Version, outputs: Iterable[str]) -> None:
    """DVC restores only outputs that dvc.yaml in the working tree declares."""
    declared = {
        next(iter(out)) if isinstance(out, dict) else out
        for stage in declared_stages(store.root).values()
        for out in stage.get("outs") or ()
    }
    missing = sorted(set(outputs) - declared)
    if missing:
        raise FacsimileError(
            f"{version.name} has outputs that {PIPELINE} does not declare ({shorten(missing)}): "
            f"`{switch_command(version)}` brings its code; then check it out again"
        )


def switch_command(version: Version) -> str:
    """The git command that brings the code of a version."""
    # --force: dvc.lock may be in the way, untracked.
    return f"git switch --detach --force {version.name}"


class _Published:
    """Whether files in the working tree are in a version."""

    def __init__(self, store: VersionStore) -> None:
        self.store = store
        self.versions = store.all()

    @cached_property
    def digests(self) -> set[str]:
        """Hashes of the outputs of all versions."""
        return {
            digest
            for version in self.versions
            for digest in self.store.cached_outputs(version).values()
        }

    @cached_property
    def files(self) -> set[str]:
        """Hashes of their files, as far as DVC's cache lists them."""
        cache = dvc.cache_folder(self.store.root)
        found: set[str] = set()
        for digest in self.digests:
            if cached_path(cache, digest).exists():
                found.update(read_listing(cache, digest).values())
        return found

    def has_lock(self) -> bool:
        outputs = current_outputs(self.store.root)
        digest = outputs_digest(outputs)
        return not outputs or any(version.outputs == digest for version in self.versions)

    def has_output(self, path: Path, recorded: str, on_file: Callable[[int], None]) -> bool:
        """Whether an output, or each of its files after an interrupted checkout, is in a version.

        Args:
            path: file or folder.
            recorded: its hash in dvc.lock, which is in a version; empty if there is none.
            on_file: called with the size of each hashed file, in bytes.
        """
        files = hash_files(path, on_file)
        digest = output_digest(files)
        return digest == recorded or digest in self.digests or self.files.issuperset(files.values())

    def git_files(self) -> Iterator[str]:
        """Files under git that are in no version and not in the commit checked out."""
        git, head = self.store.git, self.store.head
        changed = git("diff", "--name-only", "-z", "--relative", head, "--", str(PARAMS), _DATA)
        revisions = [version.name for version in self.versions]
        for path in split_paths(changed):
            if not (self.store.root / path).exists():
                continue
            blob = git("hash-object", "--", path).strip()
            if blob not in self.store.blobs(revisions, path):
                yield path


def _check_nothing_is_lost(store: VersionStore, report: Callable[[str], None]) -> None:
    published = _Published(store)
    progress = HashingProgress(
        lambda files, size: report(f"hashing current files: {size / 1e6:,.0f} MB")
    )
    lost = list(published.git_files())
    is_recorded = published.has_lock()
    if not is_recorded:
        lost.append(str(LOCK))
    recorded = current_outputs(store.root) if is_recorded else {}
    uncached = set().union(*map(uncached_outputs, declared_stages(store.root).values()))
    for path in current_outputs(store.root).keys() - uncached:
        output = store.root / path
        if output.exists() and not published.has_output(output, recorded.get(path, ""), progress):
            lost.append(path)
    if lost:
        raise FacsimileError(
            f"{shorten(lost)} would be lost: in no version; `facsimile publish` saves the current "
            "state, --force replaces it"
        )


def _fetch(
    store: VersionStore, version: Version, outputs: dict[str, str], report: Callable[[str], None]
) -> None:
    """Download what DVC's cache lacks."""
    if not _missing(store.root, outputs):
        return
    remotes = read_remotes(store.root)
    remote = version.remote if version.remote in remotes.locations else remotes.default
    if remote is None:
        raise FacsimileError(
            f"{version.name} is not in DVC's cache, and no remote is configured: "
            f"`dvc remote add --local --default {version.remote} FOLDER_OR_URL` adds the one it "
            "was uploaded to"
        )
    fetch(store.root, remote, version.name, report)
    if missing := _missing(store.root, outputs):
        raise FacsimileError(
            f"{version.name}: {shorten(missing)} incomplete in {remotes.locations[remote]}, and "
            "not in DVC's cache"
        )


def _missing(root: Path, outputs: dict[str, str]) -> list[str]:
    """Outputs of which DVC's cache does not have all files."""
    cache = dvc.cache_folder(root)
    missing = []
    for path, digest in outputs.items():
        try:
            files = read_listing(cache, digest).values()
        except FileNotFoundError:
            missing.append(path)
            continue
        if not all(cached_path(cache, file).exists() for file in files):
            missing.append(path)
    return missing
