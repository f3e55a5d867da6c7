"""The only reader of dvc.yaml and dvc.lock: what DVC declares and what it records of each stage.

DVC rewrites dvc.lock in place. Flows run it in a way that does not (flows/dvc_process.py), but a
`dvc repro` by hand may be writing the file now, or have been killed while it wrote. So the last
good file is kept, and a file that is cut short is read again for a moment before it is restored.
"""

import fcntl
import os
import re
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml
from ruamel.yaml import YAML, YAMLError

from facsimile.errors import FacsimileError

PIPELINE = Path("dvc.yaml")
LOCK = Path("dvc.lock")
KEPT = Path(".dvc/tmp/dvc.lock.kept")
CUT = Path(".dvc/tmp/dvc.lock.cut")
DVC_BUSY = Path(".dvc/tmp/lock")  # DVC holds it whenever it writes dvc.lock

_PATIENCE = 1.0  # seconds; DVC takes 0.2 to rewrite the file
_SECONDS_BETWEEN_LOOKS = 0.05
_CONFLICT = "<<<<<<< "
_STAGE = re.compile(r"^  (?=\S)", re.MULTILINE)
_HEAD = "schema: '2.0'\nstages:\n"
_KEEPING = threading.Lock()


def declared_stages(root: Path) -> dict[str, dict[str, Any]]:
    """What dvc.yaml declares of each stage: cmd, deps, params, outs and more, as written there.

    Raises:
        FacsimileError: there is no readable dvc.yaml in `root`.
    """
    path = root / PIPELINE
    try:
        return (yaml.safe_load(path.read_text()) or {}).get("stages") or {}
    except (OSError, yaml.YAMLError) as error:
        raise FacsimileError(f"{path}: not a readable pipeline ({error})") from error


def locked_stages(root: Path) -> dict[str, dict[str, Any]]:
    """What dvc.lock records of each stage: cmd, deps, params and outs with their hashes.

    A file that was cut short by a killed process is restored, and one line on stderr says so.

    Raises:
        FacsimileError: it is broken in another way, or DVC is busy and may be writing it.
    """
    stages = _patiently(root / LOCK)
    if stages is None:
        _mend(root)
        stages = _patiently(root / LOCK)
    return stages or {}


def keep(root: Path) -> None:
    """Keep a copy of dvc.lock to go back to, if it is whole.

    Raises:
        OSError: it cannot be written.
    """
    with _KEEPING:  # stages end side by side; an older copy must not replace a newer one
        text = _text(root / LOCK)
        if text and _stages(text) is not None and text != _text(root / KEPT):
            _write(root / KEPT, text)


def locked_params(locked: Mapping[str, Any]) -> dict[str, Any]:
    """Params of a stage in dvc.lock, by dotted name."""
    groups = locked.get("params", {}).values()
    return {key: value for group in groups for key, value in leaves(group)}


def locked_hashes(locked: Mapping[str, Any], kind: str) -> dict[str, str]:
    """Path → MD5 of the ``deps`` or ``outs`` of a stage in dvc.lock."""
    return {entry["path"]: entry["md5"] for entry in locked.get(kind, [])}


def leaves(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Values of nested mappings by dotted name; an empty mapping is a value."""
    for key, value in values.items():
        if isinstance(value, Mapping) and value:
            yield from leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _text(path: Path) -> str | None:
    """Content of a file; None if there is none."""
    try:
        return path.read_text()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise FacsimileError(f"{path}: not readable ({error.strerror})") from error


def _patiently(path: Path) -> dict[str, Any] | None:
    """Stages of a lock file that a process may be writing now; None if it stays cut short."""
    deadline = time.monotonic() + _PATIENCE
    while True:
        stages = _stages(_text(path))
        if stages is not None or time.monotonic() > deadline:
            return stages
        time.sleep(_SECONDS_BETWEEN_LOOKS)


def _stages(text: str | None) -> dict[str, Any] | None:
    """Stages of a lock file, none if there is no file; None if the file is cut short."""
    if text is None:
        return {}
    if not text.endswith("\n"):
        return None
    try:
        # DVC's own parser: for another one, the 1e-05 that it writes is text.
        content = YAML(typ="safe").load(text)
    except YAMLError:
        return None
    stages = content.get("stages", {}) if isinstance(content, dict) else None
    if not isinstance(stages, dict) or not all(map(_is_whole, stages.values())):
        return None
    return stages


def _is_whole(stage: Any) -> bool:
    """Whether each path of a stage comes with its hash."""
    if not isinstance(stage, dict):
        return False
    entries = [entry for kind in ("deps", "outs") if kind in stage for entry in stage[kind] or [{}]]
    return all(isinstance(entry, dict) and entry.keys() - {"path", "hash"} for entry in entries)


def _blocks(text: str) -> dict[str, str]:
    """Lines of each stage of a lock file, as DVC formats it, by the name of the stage."""
    _, *blocks = _STAGE.split(text)
    return {block.split("\n", 1)[0]: f"  {block}" for block in blocks}


def _mend(root: Path) -> None:
    """Restore dvc.lock from what is whole in it and from the copy that was kept."""
    path = root / LOCK
    with _dvc_idle(root):
        text = _text(path)
        if text is None or _stages(text) is not None:
            return  # the process that was writing it has finished
        if _CONFLICT in text:
            raise FacsimileError(f"{path}: has conflict markers of git; resolve them, or delete it")
        # The last stage of the cut file may lack lines, those before it do not.
        left = dict(list(_blocks(text).items())[:-1])
        kept = _blocks(_text(root / KEPT) or "")
        mended = _HEAD + "".join((kept | left).values())
        if _stages(mended) is None:
            left, mended = {}, _HEAD + "".join(kept.values())
        try:
            _write(root / CUT, text)
            if kept or left:
                _write(path, mended)
            else:
                path.unlink()
        except OSError as error:
            raise FacsimileError(f"{path}: cut short, and cannot be replaced: {error}") from error
    restored = len(kept.keys() - left.keys())
    print(
        f"facsimile: {path} was cut short, as when DVC is killed while it writes: {len(left)} "
        f"stages of it were whole, {restored} are from the last good copy, any other is looked up "
        f"in DVC's cache or runs again; what was left of the file is in {root / CUT}",
        file=sys.stderr,
    )


@contextmanager
def _dvc_idle(root: Path) -> Iterator[None]:
    """Keep DVC from writing dvc.lock.

    Raises:
        FacsimileError: DVC is busy for too long, or the project is not under DVC.
    """
    busy = root / DVC_BUSY
    if not (root / ".dvc").is_dir():
        raise FacsimileError(f"{root / LOCK}: not a lock file of DVC")
    try:
        busy.parent.mkdir(exist_ok=True)
        file = busy.open("a+")
    except OSError as error:
        raise FacsimileError(f"{busy}: {error.strerror}") from error
    with file:
        deadline = time.monotonic() + _PATIENCE
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    pid = (_text(busy) or "").strip() or "?"
                    raise FacsimileError(
                        f"{root / LOCK}: cut short, and DVC is at work (process {pid} holds "
                        f"{busy}); try again when it has ended"
                    ) from None
                time.sleep(_SECONDS_BETWEEN_LOOKS)
        yield


def _write(path: Path, text: str) -> None:
    """Write a file that is never seen half-written."""
    path.parent.mkdir(exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_text(text)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
