"""Publish a version of the dataset: upload the data, then commit and tag it.

The tag is written last, so a version that exists is complete. If a publication is interrupted,
nothing but uploaded data remains, and the next publication skips that.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from facsimile.errors import FacsimileError
from flows.dvc_remote import choose_remote, push
from flows.project_lock import project_lock
from flows.status import stage_states
from flows.verification import require_intact, uncached_outputs
from flows.version_contents import read_contents
from flows.versions import BRANCH, Version, VersionStore, current_outputs, shorten
from tasks.params import PARAMS
from tasks.provenance.dvc_files import LOCK, declared_stages
from tasks.provenance.git import changed_files, split_paths

_PUBLISHABLE = ("up to date", "frozen")


@dataclass(frozen=True)
class Publication:
    """Result of a publication.

    Attributes:
        version: the new version, or the one that has the same data.
        new: whether it was published now.
    """

    version: Version
    new: bool


def publish_version(
    root: Path,
    *,
    branch: str = BRANCH,
    remote: str | None = None,
    report: Callable[[str], None] = lambda text: None,
) -> Publication:
    """Publish the current data, unless a version has the same. Waits for a run in progress.

    Args:
        root: project folder.
        branch: branch of the versions; created if it does not exist.
        remote: see `choose_remote`.
        report: called with the progress as text.

    Raises:
        FacsimileError: a stage is stale, the code has uncommitted changes, a file is corrupt, the
            upload failed, or git cannot commit the version.
    """
    root = root.resolve()
    store = VersionStore(root)
    with project_lock(root, "publish", lambda holder: report(f"waiting for {holder}")):
        report("checking stages")
        recorded = _recorded(root)
        _check_stages(root)
        outputs = current_outputs(root)
        if same := store.matching(outputs):
            return Publication(same, new=False)
        _check_code(store)
        _check_git_outputs(store)
        store.check_branch(branch)
        # Nothing corrupt is published.
        require_intact(
            root, report, "run `facsimile verify --repair` and `facsimile demo`, then publish"
        )
        contents = read_contents(root)
        remote = choose_remote(root, remote)
        push(root, remote, report)
        if _recorded(root) != recorded:
            raise FacsimileError(f"{PARAMS} or {LOCK} was changed during the upload; publish again")
        report("committing")
        version = store.commit(branch, outputs, recorded, contents, remote)
    return Publication(version, new=True)


def _recorded(root: Path) -> dict[Path, bytes]:
    try:
        return {path: (root / path).read_bytes() for path in (PARAMS, LOCK)}
    except FileNotFoundError as error:
        raise FacsimileError(
            f"{error.filename} does not exist; run `facsimile demo` first"
        ) from None


def _check_stages(root: Path) -> None:
    stale = [state for state in stage_states(root) if state.state not in _PUBLISHABLE]
    if stale:
        names = ", ".join(state.stage for state in stale)
        raise FacsimileError(
            f"not up to date: {names} ({stale[0].why or stale[0].state}); run `facsimile demo`, "
            "then publish"
        )


def _check_code(store: VersionStore) -> None:
    """The data must be reproducible from a commit. Params are committed with the version."""
    changed = [path for path in changed_files(store.git, store.head) if path != str(PARAMS)]
    if changed:
        raise FacsimileError(
            f"uncommitted changes in {shorten(changed)}: commit them first, so that the version "
            "can be reproduced"
        )


def _check_git_outputs(store: VersionStore) -> None:
    """Outputs that DVC does not cache, such as the generator, must be in git."""
    paths = sorted(set().union(*map(uncached_outputs, declared_stages(store.root).values())))
    if not paths:
        return
    head = store.head
    changed = store.git("diff", "--name-only", "-z", "--relative", head, "--", *paths)
    committed = store.git("ls-tree", "-r", "-z", "--name-only", head, "--", *paths)
    unknown = {*split_paths(changed), *(set(paths) - set(split_paths(committed)))}
    if unknown:
        raise FacsimileError(
            f"{shorten(sorted(unknown))} differs from the last commit, and DVC does not store it: "
            "commit it first"
        )
