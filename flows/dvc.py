"""DVC as a subprocess: what is stale, and reproducing one stage in isolation."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from facsimile.errors import FacsimileError
from flows import home

BAD_INPUT = 2
OUT_OF_MEMORY = 75  # EX_TEMPFAIL; tasks/stage.py exits with it when a device is out of memory

_DVC = (sys.executable, "-m", "dvc", "--wait-for-lock")
_EXITED = re.compile(r"exited with (-?\d+)$")
_RUNNING: set[subprocess.Popen] = set()


class StageError(Exception):
    """A stage that did not finish.

    Attributes:
        stage: its name.
        code: exit status of its process: 2 for bad input, 75 for out of memory, negative for the
            signal that killed it.
    """

    def __init__(self, stage: str, code: int, reason: str) -> None:
        super().__init__(f"{stage}: {reason}")
        self.stage = stage
        self.code = code

    @property
    def died(self) -> bool:
        """Killed by a signal or out of memory, and so worth another attempt."""
        return self.code < 0 or self.code == OUT_OF_MEMORY


# DVC would list every input and output of it.
_NEW = "never run here"


def stale_stages(root: Path, stages: Sequence[str] = ()) -> dict[str, list[str]]:
    """Stages whose own inputs, command or outputs differ from dvc.lock, each with the reasons.

    A stage that is stale only because another one is does not appear.

    Args:
        root: project folder.
        stages: to look at; all if there are none.

    Raises:
        FacsimileError: DVC refuses the project.
    """
    result = subprocess.run(
        [*_DVC, "status", "--json", *stages],
        cwd=root,
        env=_environment(root, {}),
        capture_output=True,
        text=True,
    )
    if result.returncode:
        errors = [line for line in result.stderr.splitlines() if line.startswith("ERROR")]
        raise FacsimileError(f"dvc status: {' '.join(errors) or result.stderr}")
    status = json.loads(result.stdout)
    known = locked_stages(root)
    # A stage file has its path in front of the name; the stages of dvc.yaml have not.
    return {
        name: [r for change in changes for r in _reasons(change)] if name in known else [_NEW]
        for name, changes in status.items()
    }


def _reasons(change: str | Mapping[str, Any]) -> list[str]:
    """``{"changed deps": {"data/faces": "modified"}}`` → ``["data/faces modified"]``."""
    if isinstance(change, str):
        return [change]
    reasons = []
    for what in change.values():
        for path, detail in what.items() if isinstance(what, Mapping) else [(what, "")]:
            if isinstance(detail, Mapping):  # a params file: key → what happened to it
                reasons += [f"{key} {how}" for key, how in detail.items()]
            else:
                reasons.append(f"{path} {detail}".strip())
    return reasons


def reproduce(
    stage: str, root: Path, environment: Mapping[str, str], log: Callable[[str], None]
) -> bool:
    """Run one stage through DVC in a process group of its own, if DVC finds it changed.

    Args:
        stage: name in dvc.yaml.
        root: project folder.
        environment: variables on top of this process's.
        log: receives what the stage prints, line by line.

    Returns:
        Whether the stage's command ran; False where DVC found nothing changed or had the outputs
        of an earlier run with the same inputs.

    Raises:
        StageError: the command, or DVC, failed or was killed.
    """
    process = subprocess.Popen(
        [*_DVC, "repro", "--single-item", stage],
        cwd=root,
        env=_environment(root, environment),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    _RUNNING.add(process)
    output = _Output(log)
    reader = threading.Thread(target=output.read, args=(process.stdout,), daemon=True)
    reader.start()
    try:
        code = process.wait()
    finally:
        # If DVC was killed, the stage it ran still lives and would go on writing.
        kill(process)
        _RUNNING.discard(process)
    reader.join()
    if code == 0:
        return output.ran
    match = _EXITED.search(output.error)
    code = int(match[1]) if match else code
    # A shell that did not become its command reports the signal n that ended it as 128 + n.
    if code - 128 in signal.valid_signals():
        code = 128 - code
    raise StageError(stage, code, output.reason(code))


class _Output:
    """What ``dvc repro`` printed: the stage's lines are passed on, DVC's own are interpreted."""

    def __init__(self, log: Callable[[str], None]) -> None:
        self.log = log
        self.ran = False
        self.error = ""
        self.tail: deque[str] = deque(maxlen=20)
        self._inside = False

    def read(self, lines) -> None:
        for line in map(str.rstrip, lines):
            if line.startswith("Running stage "):
                self.ran = self._inside = True
            elif line.startswith(("Updating lock file", "Generating lock file")):
                self._inside = False
            elif line.startswith("ERROR: "):
                self.error = line.removeprefix("ERROR: ")
            elif self._inside and line and not line.startswith("> "):
                self.tail.append(line)
                self.log(line)

    def reason(self, code: int) -> str:
        """Why the stage did not finish, in one line."""
        if code < 0:
            return f"killed by {signal.Signals(-code).name}"
        if code == OUT_OF_MEMORY:
            return "out of memory"
        own = [line for line in self.tail if line.startswith("facsimile: ")]
        if code == BAD_INPUT and own:
            return own[-1].removeprefix("facsimile: ")
        last = self.tail[-1] if self.tail else self.error
        return f"exit status {code}: {last}" if last else f"exit status {code}"


def forget(stage: str, root: Path) -> None:
    """Remove what dvc.lock and the run cache hold of the last run of a stage."""
    # -P: DVC's package is meant, not this module beside the script.
    command = [sys.executable, "-P", str(Path(__file__).with_name("forget.py")), stage]
    subprocess.run(command, cwd=root, env=_environment(root, {}), check=True, capture_output=True)


def kill(process: subprocess.Popen) -> None:
    """End a stage's whole process group, if any of it is left."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def kill_all() -> None:
    """End every stage that runs, so that none outlives the flow that conducts it."""
    for process in list(_RUNNING):
        kill(process)


def locked_stages(root: Path) -> dict[str, dict[str, Any]]:
    """What dvc.lock records of each stage: cmd, deps, params and outs with their hashes."""
    lock = root / "dvc.lock"
    # DVC's own parser: for another one, the 1e-05 that it writes is text.
    return YAML(typ="safe").load(lock.read_text())["stages"] if lock.exists() else {}


def locked_params(locked: Mapping[str, Any]) -> dict[str, Any]:
    """Params that dvc.lock records of a stage, by dotted name."""
    groups = locked.get("params", {}).values()
    return {key: value for group in groups for key, value in leaves(group)}


def locked_hashes(locked: Mapping[str, Any], kind: str) -> dict[str, str]:
    """Path → MD5 of the ``deps`` or ``outs`` that dvc.lock records of a stage."""
    return {entry["path"]: entry["md5"] for entry in locked.get(kind, [])}


def leaves(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Values of nested mappings by dotted name."""
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _environment(root: Path, extra: Mapping[str, str]) -> dict[str, str]:
    # `python` in dvc.yaml must be the interpreter that runs the flow.
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    own = {"PATH": path, "PYTHONUNBUFFERED": "1"}
    return os.environ | home.environment(root) | own | extra
