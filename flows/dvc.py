"""DVC as a subprocess: what is stale, and reproducing one stage in isolation."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from facsimile.errors import FacsimileError
from flows import source_changes, state_folder
from flows.dvc_rwlock import clear_rwlock
from flows.supervisor import supervised
from tasks.provenance.dvc_files import keep, locked_stages
from tasks.shared.exit_codes import ExitCode
from tasks.shared.faults import disk_full, faults_told, is_full

# -P: see there.
_DVC = (sys.executable, "-P", str(Path(__file__).with_name("dvc_process.py")), "--wait-for-lock")
_EXITED = re.compile(r"exited with (-?\d+)$")
_FAILED = re.compile(r"failed to reproduce '[^']*': ")
_ERROR = re.compile(r"ERROR: (failed to reproduce|unexpected error|interrupted by the user)")
_SAVED = ("Updating lock file", "Generating lock file", "Use `dvc push`")
_NOT_IN_CACHE = " not in cache"
_VMSTAT = Path("/proc/vmstat")
_RUNNING: set[subprocess.Popen] = set()


class StageError(Exception):
    """A stage that did not finish.

    Attributes:
        stage: its name.
        code: exit status of its process, one of `ExitCode`, or minus the number of the signal that
            killed it.
        reason: in one line.
    """

    def __init__(self, stage: str, code: int, reason: str) -> None:
        super().__init__(f"{stage}: {reason}")
        self.stage = stage
        self.code = code
        self.reason = reason

    @property
    def died(self) -> bool:
        """Killed by a signal or out of memory, and so worth another attempt."""
        return self.code < 0 or self.code == ExitCode.OUT_OF_MEMORY

    @property
    def starved(self) -> bool:
        """Out of memory, or killed as the kernel kills what takes too much of it."""
        return self.code in (ExitCode.OUT_OF_MEMORY, -signal.SIGKILL)


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
    known = _ready(root)
    result = _run(root, "status", "--json", *stages)
    if result.returncode:
        raise FacsimileError(f"dvc status: {_told(result.stderr.splitlines(), root)}")
    status = json.loads(result.stdout)
    # A stage file has its path in front of the name; the stages of dvc.yaml have not.
    stale = {
        name: [r for change in changes for r in _reasons(change)] if name in known else [_NEW]
        for name, changes in status.items()
    }
    return source_changes.settle(root, stale)


def uncached(reasons: Iterable[str]) -> list[str]:
    """Those of the reasons of a stage that say that DVC's cache lacks an output, perhaps sound."""
    return [reason for reason in reasons if reason.endswith(_NOT_IN_CACHE)]


def cache_again(stage: str, root: Path) -> bool:
    """Put the outputs of a stage into DVC's cache, if they and all inputs are those of dvc.lock.

    Returns:
        Whether they are. They were hashed.
    """
    # Where anything has changed DVC asks whether to go on, and refuses where nobody can answer.
    return _run(root, "commit", stage).returncode == 0


def _ready(root: Path) -> dict[str, Any]:
    """What dvc.lock records of each stage, after what a killed DVC may have left is cleared."""
    with faults_told(root):
        clear_rwlock(root)
        return locked_stages(root)


def _run(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command, options = supervised([*_DVC, *arguments])
    return subprocess.run(
        command,
        cwd=root,
        env=_environment(root, {}),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        **options,
    )


def _told(lines: Iterable[str], root: Path) -> str:
    """An error of DVC in one line: its lines from the first ``ERROR: `` on, else all of them."""
    lines = [line.strip() for line in lines]
    first = next((i for i, line in enumerate(lines) if line.startswith("ERROR: ")), 0)
    told = (line.removeprefix("ERROR: ") for line in lines[first:] if not _is_noise(line))
    text = _FAILED.sub("", " ".join(told))
    if is_full(Exception(text), root):
        return disk_full(root)
    return text


def _is_noise(line: str) -> bool:
    return not line or line.startswith(("WARNING: ", "Having any troubles?"))


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
    stage: str,
    root: Path,
    environment: Mapping[str, str],
    log: Callable[[str], None],
    ended: Callable[[], bool] = lambda: False,
) -> bool:
    """Run one stage through DVC in processes that end with this one, if DVC finds it changed.

    Args:
        stage: name in dvc.yaml.
        root: project folder.
        environment: variables on top of this process's.
        log: receives what the stage prints, line by line.
        ended: whether the run has ended, so that `kill_all` may have come too early for the stage.

    Returns:
        Whether the stage's command ran; False where DVC found nothing changed or had the outputs
        of an earlier run with the same inputs.

    Raises:
        StageError: the command, or DVC, failed or was killed.
    """
    try:
        _ready(root)
        with faults_told(root):
            keep(root)
    except FacsimileError as error:
        raise StageError(stage, ExitCode.BAD_INPUT, str(error)) from error
    killed_before = _killed_for_memory()
    command, options = supervised([*_DVC, "repro", "--single-item", stage])
    process = subprocess.Popen(
        command,
        cwd=root,
        env=_environment(root, environment),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        **options,
    )
    _RUNNING.add(process)
    if ended():
        process.terminate()
    output = _Output(log)
    reader = threading.Thread(target=output.read, args=(process.stdout,), daemon=True)
    reader.start()
    try:
        code = process.wait()
    finally:
        process.terminate()
        _RUNNING.discard(process)
    reader.join()
    if code == 0:
        with suppress(OSError):  # the next one will say so
            keep(root)
        return output.ran
    error = _told(output.errors, root)
    match = _EXITED.search(error)
    if not match and code > 0:  # not the command failed, but DVC before or after it
        raise StageError(stage, code, error or f"dvc repro: exit status {code}")
    code = int(match[1]) if match else code
    # A shell that did not become its command reports the signal n that ended it as 128 + n.
    if code - 128 in signal.valid_signals():
        code = 128 - code
    raise StageError(stage, code, output.reason(code, _killed_for_memory() > killed_before))


class _Output:
    """What ``dvc repro`` printed: the stage's lines are passed on, DVC's own are interpreted."""

    def __init__(self, log: Callable[[str], None]) -> None:
        self.log = log
        self.ran = False
        self.errors: list[str] = []
        self.tail: deque[str] = deque(maxlen=20)
        self._inside = False

    def read(self, lines: Iterable[str]) -> None:
        """Take in all lines."""
        for line in map(str.rstrip, lines):
            # Of what a stage prints, some begins with ERROR, too.
            if self.errors or _ERROR.match(line) or (not self._inside and line.startswith("ERROR")):
                self.errors.append(line)
            elif line.startswith("Running stage "):
                self.ran = self._inside = True
            elif line.startswith(_SAVED):
                self._inside = False
            elif self._inside and line and not line.startswith("> "):
                self.tail.append(line)
                self.log(line)

    def reason(self, code: int, for_memory: bool) -> str:
        """Why the stage did not finish, in one line.

        Args:
            code: exit status of its command, negative for a signal.
            for_memory: whether the kernel has killed something for its memory meanwhile.
        """
        if code == -signal.SIGKILL:
            return f"killed by SIGKILL, {'for' if for_memory else 'perhaps for'} its memory"
        if code < 0:
            return f"killed by {signal.Signals(-code).name}"
        own = [line for line in self.tail if line.startswith("facsimile: ")]
        if code in (ExitCode.BAD_INPUT, ExitCode.OUT_OF_MEMORY) and own:
            return own[-1].removeprefix("facsimile: ")
        if code == ExitCode.OUT_OF_MEMORY:
            return "out of memory"
        return f"exit status {code}: {self.tail[-1]}" if self.tail else f"exit status {code}"


def forget(stage: str, root: Path) -> None:
    """Remove what dvc.lock and the run cache hold of the last run of a stage."""
    # -P: DVC's package is meant, not this module beside the script.
    command = [sys.executable, "-P", str(Path(__file__).with_name("dvc_forget.py")), stage]
    subprocess.run(command, cwd=root, env=_environment(root, {}), check=True, capture_output=True)


def kill_all() -> None:
    """End every stage that runs: by SIGTERM, and by SIGKILL what is left seconds later."""
    for process in list(_RUNNING):
        process.terminate()


def _killed_for_memory() -> int:
    """Processes that the kernel has killed for their memory since it started; 0 if it is not told.

    Of the whole machine: what a stage runs in may hide its own.
    """
    try:
        lines = _VMSTAT.read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) for line in lines if line.startswith("oom_kill "))


def _environment(root: Path, extra: Mapping[str, str]) -> dict[str, str]:
    # `python` in dvc.yaml must be the interpreter that runs the flow.
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    own = {"PATH": path, "PYTHONUNBUFFERED": "1"}
    return os.environ | state_folder.environment(root) | own | extra
