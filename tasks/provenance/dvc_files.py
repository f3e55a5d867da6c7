"""The only reader of dvc.yaml and dvc.lock: what DVC declares and records for each stage.

DVC rewrites dvc.lock in place. Flows run it with atomic writes (flows/dvc_process.py), but a manual
`dvc repro` may be writing the file now, or have been killed while writing. So the last valid file
is backed up, and a truncated file is reread for up to a second before it is repaired.
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

_TIMEOUT = 1.0  # seconds; DVC takes 0.2 s to rewrite the file
_POLL_SECONDS = 0.05
_CONFLICT = "<<<<<<< "
_STAGE = re.compile(r"^  (?=\S)", re.MULTILINE)
_HEAD = "schema: '2.0'\nstages:\n"
_KEEPING = threading.Lock()


def declared_stages(root: Path, extra: bool = False) -> dict[str, dict[str, Any]]:
    """What dvc.yaml declares for each stage: cmd, deps, params, outs and more, as written there.

    A stage with a ``matrix`` of one key stands for one stage per value, ``name@value``.

    Args:
        root: project folder.
        extra: whether to include the stages that only `facsimile paper` or `facsimile editors`
            needs, which are marked ``meta: {extra: true}``. They belong to no version of the
            dataset and retrain no model.

    Raises:
        FacsimileError: there is no readable dvc.yaml in `root`.
    """
    path = root / PIPELINE
    try:
        stages = (yaml.safe_load(path.read_text()) or {}).get("stages") or {}
    except (OSError, yaml.YAMLError) as error:
        raise FacsimileError(f"{path}: not a readable pipeline ({error})") from error
    return {
        name: body
        for stage in stages.items()
        for name, body in _expand(*stage)
        if extra or not (body.get("meta") or {}).get("extra")
    }


def _expand(name: str, stage: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """A stage, or all stages of its matrix, named as DVC names them."""
    if "matrix" not in stage:
        yield name, stage
        return
    ((key, values),) = stage["matrix"].items()
    rest = {field: value for field, value in stage.items() if field != "matrix"}
    for value in values:
        yield f"{name}@{value}", _fill(rest, f"${{item.{key}}}", str(value))


def _fill(node: Any, variable: str, value: str) -> Any:
    """A copy with `variable` replaced in all strings and keys."""
    if isinstance(node, str):
        return node.replace(variable, value)
    if isinstance(node, list):
        return [_fill(entry, variable, value) for entry in node]
    if isinstance(node, Mapping):
        return {_fill(k, variable, value): _fill(v, variable, value) for k, v in node.items()}
    return node


def locked_stages(root: Path) -> dict[str, dict[str, Any]]:
    """What dvc.lock records for each stage: cmd, deps, params and outs with their hashes.

    A file truncated by a killed process is repaired, with a line on stderr.

    Raises:
        FacsimileError: the file is invalid in another way, or DVC is busy and may be writing it.
    """
    stages = _wait_for_stages(root / LOCK)
    if stages is None:
        _repair(root)
        stages = _wait_for_stages(root / LOCK)
    return stages or {}


def keep_backup(root: Path) -> None:
    """Back up dvc.lock if it is valid.

    Raises:
        OSError: the backup cannot be written.
    """
    with _KEEPING:  # stages end concurrently; an older copy must not replace a newer one
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
    """Values of nested mappings by dotted name; an empty mapping counts as a value."""
    for key, value in values.items():
        if isinstance(value, Mapping) and value:
            yield from leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _text(path: Path) -> str | None:
    """Content of a file; None if it does not exist."""
    try:
        return path.read_text()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise FacsimileError(f"{path}: not readable ({error.strerror})") from error


def _wait_for_stages(path: Path) -> dict[str, Any] | None:
    """Stages of a lock file that a process may be writing now; None if it stays truncated."""
    deadline = time.monotonic() + _TIMEOUT
    while True:
        stages = _stages(_text(path))
        if stages is not None or time.monotonic() > deadline:
            return stages
        time.sleep(_POLL_SECONDS)


def _stages(text: str | None) -> dict[str, Any] | None:
    """Stages in the text of a lock file; empty without a file, None if it is truncated."""
    if text is None:
        return {}
    if not text.endswith("\n"):
        return None
    try:
        # DVC's own parser: other YAML parsers read 1e-05 as text.
        content = YAML(typ="safe").load(text)
    except YAMLError:
        return None
    stages = content.get("stages", {}) if isinstance(content, dict) else None
    if not isinstance(stages, dict) or not all(map(_is_whole, stages.values())):
        return None
    return stages


def _is_whole(stage: Any) -> bool:
    """Whether each path of a stage has a hash."""
    if not isinstance(stage, dict):
        return False
    entries = [entry for kind in ("deps", "outs") if kind in stage for entry in stage[kind] or [{}]]
    return all(isinstance(entry, dict) and entry.keys() - {"path", "hash"} for entry in entries)


def _blocks(text: str) -> dict[str, str]:
    """Lines of each stage in a lock file, by name."""
    _, *blocks = _STAGE.split(text)
    return {block.split("\n", 1)[0]: f"  {block}" for block in blocks}


def _repair(root: Path) -> None:
    """Rebuild dvc.lock from its complete stages and the backup."""
    path = root / LOCK
    with _dvc_idle(root):
        text = _text(path)
        if text is None or _stages(text) is not None:
            return  # the process that was writing it has finished
        if _CONFLICT in text:
            raise FacsimileError(f"{path}: has git conflict markers; resolve them, or delete it")
        # Only the last stage of a truncated file may lack lines.
        left = dict(list(_blocks(text).items())[:-1])
        kept = _blocks(_text(root / KEPT) or "")
        repaired = _HEAD + "".join((kept | left).values())
        if _stages(repaired) is None:
            left, repaired = {}, _HEAD + "".join(kept.values())
        try:
            _write(root / CUT, text)
            if kept or left:
                _write(path, repaired)
            else:
                path.unlink()
        except OSError as error:
            raise FacsimileError(f"{path}: truncated and cannot be replaced: {error}") from error
    restored = len(kept.keys() - left.keys())
    print(
        f"facsimile: {path} was truncated, as when DVC is killed while writing: kept {len(left)} "
        f"stages, restored {restored} from the last backup; other stages are restored from DVC's "
        f"cache or rerun; the truncated file is {root / CUT}",
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
        raise FacsimileError(f"{root / LOCK}: not a DVC lock file")
    try:
        busy.parent.mkdir(exist_ok=True)
        file = busy.open("a+")
    except OSError as error:
        raise FacsimileError(f"{busy}: {error.strerror}") from error
    with file:
        deadline = time.monotonic() + _TIMEOUT
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    pid = (_text(busy) or "").strip() or "?"
                    raise FacsimileError(
                        f"{root / LOCK}: truncated, and DVC is running (process {pid} holds "
                        f"{busy}); try again when it has ended"
                    ) from None
                time.sleep(_POLL_SECONDS)
        yield


def _write(path: Path, text: str) -> None:
    """Write a file atomically."""
    path.parent.mkdir(exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_text(text)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
