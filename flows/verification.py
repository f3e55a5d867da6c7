"""Verify files: hash all outputs and their cached copies, and compare with dvc.lock.

DVC considers a file unchanged as long as its inode, size and modification time are. So it does not
notice a flipped bit, and it restores corrupt files from its cache without a warning.
"""

import hashlib
import json
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from facsimile.digests import file_md5
from facsimile.errors import FacsimileError
from flows.dvc import cache_folder
from tasks.provenance.dvc_files import declared_stages, locked_hashes, locked_stages

_DIRECTORY = ".dir"


@dataclass(frozen=True)
class Fault:
    """A file that is not what dvc.lock records.

    Attributes:
        stage: stage that wrote it.
        path: file or folder; relative to the project if inside it.
        problem: what is wrong with it.
        corrupt: whether the file exists, but has another content.
        cached: whether it lies in DVC's cache.
    """

    stage: str
    path: Path
    problem: str
    corrupt: bool
    cached: bool


class Verification:
    """Compares the files of stages with dvc.lock. Each cached file is hashed once.

    Args:
        root: project folder.
        on_file: called with the size of each hashed file, in bytes.
    """

    def __init__(self, root: Path, on_file: Callable[[int], None] = lambda size: None) -> None:
        self.root = root
        self.on_file = on_file
        self.declared = declared_stages(root, extra=True)
        self.locked = {
            name: locked_hashes(stage, "outs")
            for name, stage in locked_stages(root).items()
            if name in self.declared
        }
        self.cache = cache_folder(root)
        self.cached_files: dict[str, bool | None] = {}

    def faults(self, stages: Iterable[str] | None = None) -> Iterator[Fault]:
        """Corrupt and missing files of the given stages, by default of all in dvc.lock."""
        for stage in self.locked if stages is None else stages:
            uncached = uncached_outputs(self.declared[stage])
            for name, digest in self.locked.get(stage, {}).items():
                if name not in uncached:
                    yield from self._object_faults(stage, digest)
                contents = self._contents(digest)
                for content in sorted(set(contents.values()) - {digest}):
                    yield from self._object_faults(stage, content)
                yield from self._output_faults(stage, Path(name), digest, contents)

    def _object_faults(self, stage: str, digest: str) -> Iterator[Fault]:
        path = cached_path(self.cache, digest)
        if digest not in self.cached_files:
            self.cached_files[digest] = (
                _hash(path, self.on_file) == digest.removesuffix(_DIRECTORY)
                if path.is_file()
                else None
            )
        intact = self.cached_files[digest]
        if intact:
            return
        shown = path.relative_to(self.root) if path.is_relative_to(self.root) else path
        problem = "missing from DVC's cache" if intact is None else "corrupt in DVC's cache"
        yield Fault(stage, shown, problem, corrupt=intact is False, cached=True)

    def _contents(self, digest: str) -> dict[str, str]:
        """Relative path → MD5 of the files of an output; empty if the cache does not list them."""
        if digest.endswith(_DIRECTORY) and not self.cached_files.get(digest):
            return {}
        return read_listing(self.cache, digest)

    def _output_faults(
        self, stage: str, output: Path, digest: str, contents: dict[str, str]
    ) -> Iterator[Fault]:
        path = self.root / output
        if not path.exists():
            yield Fault(stage, output, "missing", corrupt=False, cached=False)
            return
        found = hash_files(path, self.on_file)
        if digest.endswith(_DIRECTORY) and not contents:  # there is no listing
            if output_digest(found) != digest:
                yield Fault(stage, output, "differs from dvc.lock", corrupt=True, cached=False)
            return
        for name in sorted(found.keys() | contents.keys()):
            where = output / name if name else output
            if name not in found:
                yield Fault(stage, where, "missing", corrupt=False, cached=False)
            elif found[name] != contents.get(name):
                problem = "differs from dvc.lock" if name in contents else "not in dvc.lock"
                yield Fault(stage, where, problem, corrupt=True, cached=False)


class HashingProgress:
    """Counts hashed files; an `on_file` of the functions here.

    Args:
        report: called after each file with the number of files and bytes so far.
    """

    def __init__(self, report: Callable[[int, int], None]) -> None:
        self.files = 0
        self.bytes = 0
        self._report = report

    def __call__(self, size: int) -> None:
        self.files += 1
        self.bytes += size
        self._report(self.files, self.bytes)


def require_intact(root: Path, report: Callable[[str], None], remedy: str) -> int:
    """Hash all outputs and their cached copies. Returns their size, in bytes.

    Args:
        root: project folder.
        report: called with the progress as text.
        remedy: end of the error.

    Raises:
        FacsimileError: a file is corrupt or missing.
    """
    progress = HashingProgress(lambda files, size: report(f"hashing: {size / 1e6:,.0f} MB"))
    if fault := next(Verification(root, progress).faults(), None):
        raise FacsimileError(f"{fault.path}: {fault.problem}; {remedy}")
    return progress.bytes


def remove(root: Path, faults: Iterable[Fault]) -> list[Path]:
    """Delete corrupt files, so that the next run restores or regenerates them.

    Files of frozen stages outside DVC's cache are kept: no run would regenerate them.

    Returns:
        The deleted files.
    """
    declared = declared_stages(root, extra=True)
    deleted = []
    for fault in faults:
        if not fault.corrupt or (not fault.cached and declared[fault.stage].get("frozen")):
            continue
        path = root / fault.path
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
        deleted.append(fault.path)
    return deleted


def uncached_outputs(stage: Mapping[str, Any]) -> set[str]:
    """Outputs of a stage of dvc.yaml that DVC does not cache."""
    outs = [out for out in stage.get("outs") or () if isinstance(out, dict)]
    return {path for out in outs for path, options in out.items() if options.get("cache") is False}


def hash_files(path: Path, on_file: Callable[[int], None] = lambda size: None) -> dict[str, str]:
    """Relative path → MD5 of all files of an output; a single file has the path ""."""
    if path.is_file():
        return {"": _hash(path, on_file)}
    files = sorted(file for file in path.rglob("*") if file.is_file())
    return {file.relative_to(path).as_posix(): _hash(file, on_file) for file in files}


def output_digest(files: Mapping[str, str]) -> str:
    """DVC's hash of an output from those of its files; for a folder, MD5 of their listing."""
    if "" in files:
        return files[""]
    listing = [{"md5": digest, "relpath": name} for name, digest in sorted(files.items())]
    return hashlib.md5(json.dumps(listing).encode()).hexdigest() + _DIRECTORY


def read_listing(cache: Path, digest: str) -> dict[str, str]:
    """Relative path → MD5 of the files of an output.

    Raises:
        OSError: it is a folder, and its listing is not in the cache.
    """
    if not digest.endswith(_DIRECTORY):
        return {"": digest}
    listing = json.loads(cached_path(cache, digest).read_text())
    return {entry["relpath"]: entry["md5"] for entry in listing}


def cached_path(cache: Path, digest: str) -> Path:
    """Where a cached file, or the listing of a folder, lies."""
    return cache / digest[:2] / digest[2:]


def _hash(path: Path, on_file: Callable[[int], None]) -> str:
    digest = file_md5(path)
    on_file(path.stat().st_size)
    return digest
