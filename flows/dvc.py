"""DVC as a subprocess: find stale stages and reproduce a single stage."""

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
from tasks.provenance.dvc_files import keep_backup, locked_stages
from tasks.shared.exit_codes import ExitCode
from tasks.shared.faults import disk_full, explain_faults, is_full

# -P: see dvc_process.py.
_DVC = (sys.executable, "-P", str(Path(__file__).with_name("dvc_process.py")), "--wait-for-lock")
_EXITED = re.compile(r"exited with (-?\d+)$")
_FAILED = re.compile(r"failed to reproduce '[^']*': ")
_ERROR = re.compile(r"ERROR: (failed to reproduce|unexpected error|interrupted by the user)")
_SAVED = ("Updating lock file", "Generating lock file", "Use `dvc push`")
_NOT_IN_CACHE = " not in cache"
_VMSTAT = Path("/proc/vmstat")
_RUNNING: dict[str, subprocess.Popen] = {}


class StageError(Exception):
    """A stage failed.

    Attributes:
        stage: name of the stage.
        code: exit status of its process: an `ExitCode`, or minus the number of the signal that
            killed it.
        reason: why it failed, in one line.
    """

    def __init__(self, stage: str, code: int, reason: str) -> None:
        super().__init__(f"{stage}: {reason}")
        self.stage = stage
        self.code = code
        self.reason = reason

    @property
    def retryable(self) -> bool:
        """Whether the stage was killed by a signal or ran out of memory."""
        return self.code < 0 or self.code == ExitCode.OUT_OF_MEMORY

    @property
    def out_of_memory(self) -> bool:
        """Whether it ran out of memory, or got SIGKILL as from the kernel's OOM killer."""
        return self.code in (ExitCode.OUT_OF_MEMORY, -signal.SIGKILL)


# Replaces DVC's list of all inputs and outputs of a stage that is not in dvc.lock.
_NEW = "never run here"


def stale_stages(root: Path, stages: Sequence[str] = ()) -> dict[str, list[str]]:
    """Stages whose inputs, command or outputs differ from dvc.lock, each with the reasons.

    Stages that are stale only because an upstream stage is stale are not included.

    Args:
        root: project folder.
        stages: stages to check; empty for all.

    Raises:
        FacsimileError: `dvc status` failed.
    """
    recorded = _read_lockfile(root)
    status = json.loads(query(root, "status", "--json", *stages))
    # Names of stages in other stage files are prefixed with their path; those of dvc.yaml are not.
    stale = {
        name: [r for change in changes for r in _reasons(change)] if name in recorded else [_NEW]
        for name, changes in status.items()
    }
    return source_changes.refine_stale(root, stale)


def uncached(reasons: Iterable[str]) -> list[str]:
    """Reasons that say only that an output is missing from DVC's cache; the file may be intact."""
    return [reason for reason in reasons if reason.endswith(_NOT_IN_CACHE)]


def recache(stage: str, root: Path) -> bool:
    """Put the outputs of a stage into DVC's cache if all inputs and outputs match dvc.lock.

    Hashes all files to compare them.

    Returns:
        Whether they match.
    """
    # If anything has changed, `dvc commit` asks for confirmation, and fails without a terminal.
    return _run(root, "commit", stage).returncode == 0


def cache_folder(root: Path) -> Path:
    """Folder of DVC's cached files, named by their MD5.

    Raises:
        FacsimileError: `root` is not a DVC project.
    """
    return Path(query(root, "cache", "dir").strip()) / "files" / "md5"


def pull(root: Path) -> str:
    """Fetch the results that dvc.lock records, if the project has a default remote.

    Returns:
        Why some are missing; empty if all were fetched or there is no remote.
    """
    if not _run(root, "remote", "default").stdout.strip():
        return ""
    try:
        query(root, "pull", "--allow-missing")
    except FacsimileError as error:
        return str(error)
    return ""


def metric_changes(
    root: Path, base: str, file: str
) -> dict[str, tuple[float | None, float | None]]:
    """Numbers in a metrics file by dotted name: before, in a commit, and now.

    Only those that differ. None where a number is missing, as all are before if DVC's cache does
    not have the file of that commit.
    """
    result = _run(root, "metrics", "diff", "--json", base, "--targets", file)
    if result.returncode:
        return {}
    entries = json.loads(result.stdout or "{}").get(file, {})
    numbers = {
        name: tuple(v if isinstance(v, int | float) else None for v in (e.get("old"), e.get("new")))
        for name, e in entries.items()
    }
    return {name: pair for name, pair in numbers.items() if pair != (None, None)}


def _read_lockfile(root: Path) -> dict[str, Any]:
    """What dvc.lock records for each stage. First clears stale locks of killed DVC processes."""
    with explain_faults(root):
        clear_rwlock(root)
        return locked_stages(root)


def query(root: Path, *arguments: str) -> str:
    """Run a DVC command and return what it prints.

    Raises:
        FacsimileError: it failed.
    """
    result = _run(root, *arguments)
    if result.returncode:
        error = error_line(result.stderr.splitlines(), root)
        raise FacsimileError(f"dvc {arguments[0]}: {error}")
    return result.stdout


def _run(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command, options = supervised([*_DVC, *arguments])
    return subprocess.run(
        command,
        cwd=root,
        env=process_environment(root, {}),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        **options,
    )


def error_line(lines: Iterable[str], root: Path) -> str:
    """An error of DVC in one line: all lines from the first ``ERROR: `` on, or all without one."""
    lines = [line.strip() for line in lines]
    first = next((i for i, line in enumerate(lines) if line.startswith("ERROR: ")), 0)
    errors = (line.removeprefix("ERROR: ") for line in lines[first:] if not _is_noise(line))
    text = _FAILED.sub("", " ".join(errors))
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
            if isinstance(detail, Mapping):  # a params file: key → how it changed
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
    started: Callable[[int], None] = lambda pid: None,
) -> bool:
    """Run one stage through DVC if it is stale. Its processes end with this process.

    Args:
        stage: name in dvc.yaml.
        root: project folder.
        environment: variables added to those of this process.
        log: called with each line the stage prints.
        ended: whether the run has ended; covers a `kill_all` just before the stage started.
        started: called with the id of the process that runs the stage.

    Returns:
        Whether the stage's command ran; False if DVC found it unchanged or restored the outputs
        of an earlier run with the same inputs.

    Raises:
        StageError: the stage's command or DVC failed or was killed.
    """
    try:
        _read_lockfile(root)
        with explain_faults(root):
            keep_backup(root)
    except FacsimileError as error:
        raise StageError(stage, ExitCode.BAD_INPUT, str(error)) from error
    kills_before = _count_oom_kills()
    command, options = supervised([*_DVC, "repro", "--single-item", stage])
    process = subprocess.Popen(
        command,
        cwd=root,
        env=process_environment(root, environment),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        **options,
    )
    _RUNNING[stage] = process
    started(process.pid)
    if ended():
        process.terminate()
    output = _Output(log)
    reader = threading.Thread(target=output.read, args=(process.stdout,), daemon=True)
    reader.start()
    try:
        code = process.wait()
    finally:
        process.terminate()
        _RUNNING.pop(stage, None)
    reader.join()
    if code == 0:
        with suppress(OSError):  # reported when the next stage starts
            keep_backup(root)
        return output.ran
    error = error_line(output.errors, root)
    match = _EXITED.search(error)
    if not match and code > 0:  # DVC itself failed, before or after the command
        raise StageError(stage, code, error or f"dvc repro: exit status {code}")
    code = int(match[1]) if match else code
    # A shell reports a command killed by signal n as exit status 128 + n.
    if code - 128 in signal.valid_signals():
        code = 128 - code
    raise StageError(stage, code, output.reason(code, _count_oom_kills() > kills_before))


class _Output:
    """Output of ``dvc repro``: passes on the stage's lines and interprets DVC's own."""

    def __init__(self, log: Callable[[str], None]) -> None:
        self.log = log
        self.ran = False
        self.errors: list[str] = []
        self.tail: deque[str] = deque(maxlen=20)
        self._inside = False

    def read(self, lines: Iterable[str]) -> None:
        """Read all lines."""
        for line in map(str.rstrip, lines):
            # A stage may print lines that begin with ERROR, too.
            if self.errors or _ERROR.match(line) or (not self._inside and line.startswith("ERROR")):
                self.errors.append(line)
            elif line.startswith("Running stage "):
                self.ran = self._inside = True
            elif line.startswith(_SAVED):
                self._inside = False
            elif self._inside and line and not line.startswith("> "):
                self.tail.append(line)
                self.log(line)

    def reason(self, code: int, oom_killed: bool) -> str:
        """Why the stage failed, in one line.

        Args:
            code: exit status of its command, negative for a signal.
            oom_killed: whether the kernel's OOM killer killed a process in the meantime.
        """
        if code == -signal.SIGKILL:
            return f"killed by SIGKILL, {'' if oom_killed else 'possibly '}out of memory"
        if code < 0:
            return f"killed by {signal.Signals(-code).name}"
        own = [line for line in self.tail if line.startswith("facsimile: ")]
        if code in (ExitCode.BAD_INPUT, ExitCode.OUT_OF_MEMORY) and own:
            return own[-1].removeprefix("facsimile: ")
        if code == ExitCode.OUT_OF_MEMORY:
            return "out of memory"
        return f"exit status {code}: {self.tail[-1]}" if self.tail else f"exit status {code}"


def discard_record(stage: str, root: Path) -> None:
    """Remove the last run of a stage from dvc.lock and from the run cache."""
    # -P: otherwise `dvc` would be this module, which lies beside the script.
    command = [sys.executable, "-P", str(Path(__file__).with_name("dvc_forget.py")), stage]
    subprocess.run(
        command, cwd=root, env=process_environment(root, {}), check=True, capture_output=True
    )


def kill(stage: str) -> None:
    """End a stage if it runs: by SIGTERM and, seconds later, by SIGKILL."""
    if process := _RUNNING.get(stage):
        process.terminate()


def kill_all() -> None:
    """End all running stages."""
    for stage in list(_RUNNING):
        kill(stage)


def _count_oom_kills() -> int:
    """Processes killed by the kernel's OOM killer since boot; 0 if unknown.

    Counted for the whole machine, because a stage may run in a control group we cannot read.
    """
    try:
        lines = _VMSTAT.read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) for line in lines if line.startswith("oom_kill "))


def process_environment(root: Path, extra: Mapping[str, str]) -> dict[str, str]:
    # `python` in dvc.yaml must be the interpreter that runs the flow.
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    python = {"PATH": path, "PYTHONUNBUFFERED": "1"}
    return os.environ | state_folder.environment(root) | python | extra
