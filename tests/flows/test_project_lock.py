"""One run at a time in a project, and what others see of it."""

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from facsimile.errors import FacsimileError
from flows.project_lock import LOCK, RWLOCK, project_lock, running_stages

pytestmark = pytest.mark.slow


def no_wait(holder: str) -> None:
    raise AssertionError(f"waited for {holder}")


def test_second_run_waits_for_the_first_and_names_it(tmp_path: Path) -> None:
    reported: list[str] = []
    asked, done = threading.Event(), threading.Event()

    def second() -> None:
        with project_lock(tmp_path, "on-demand", lambda who: (reported.append(who), asked.set())):
            done.set()

    with project_lock(tmp_path, "nightly", no_wait):
        waiting = threading.Thread(target=second)
        waiting.start()
        assert asked.wait(10) and not done.is_set()
    waiting.join(10)
    assert done.is_set()
    assert len(reported) == 1
    assert reported[0].startswith(f"nightly (process {os.getpid()}, since ")


def test_lock_of_a_killed_run_is_free(tmp_path: Path) -> None:
    script = (
        "import os; from pathlib import Path; from flows.project_lock import project_lock\n"
        f"with project_lock(Path({str(tmp_path)!r}), 'x', print): os.kill(os.getpid(), 9)"
    )
    assert subprocess.run([sys.executable, "-c", script]).returncode == -9
    with project_lock(tmp_path, "y", no_wait):
        pass


def test_project_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / ".dvc").write_text("a file")
    with (
        pytest.raises(FacsimileError, match="cannot be created"),
        project_lock(tmp_path, "x", no_wait),
    ):
        pass


def test_link_is_not_followed(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    (tmp_path / LOCK).parent.mkdir(parents=True)
    (tmp_path / LOCK).symlink_to(victim)
    with pytest.raises(FacsimileError), project_lock(tmp_path, "x", no_wait):
        pass
    assert victim.read_text() == "precious"


def test_stages_that_dvc_runs_now(tmp_path: Path) -> None:
    outs = {"edit": ("data/edit",), "filter": ("data/filter",)}
    assert running_stages(tmp_path, outs) == set()
    dead = subprocess.Popen(["true"])
    dead.wait()
    holders = {"data/edit": os.getpid(), "data/filter": dead.pid}
    writes = {str(tmp_path / path): {"pid": pid, "cmd": "x"} for path, pid in holders.items()}
    (tmp_path / RWLOCK).parent.mkdir(parents=True)
    (tmp_path / RWLOCK).write_text(json.dumps({"write": writes, "read": {}}))
    assert running_stages(tmp_path, outs) == {"edit"}
    (tmp_path / RWLOCK).write_text('{"write": {"')
    assert running_stages(tmp_path, outs) == set()
