"""Stages that are ended by a signal, really, and what killed ones have left."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tasks.shared.endings import remove_leftovers

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[3]

# A stage with worker processes, in the midst of its work.
STAGE = '''
"""Edit."""
import os
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from tasks.shared import stage

def run(out, compute):
    (out / "half").write_text("half")
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        pool.submit(os.getpid).result()
        busy = pool.submit(time.sleep, 1000)
        Path("up").touch()
        busy.result()

if __name__ == "__main__":
    stage.main("edit", run)
'''


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_stage_that_is_ended_leaves_nothing(
    tmp_path: Path, write_params, number: signal.Signals
) -> None:
    write_params()
    (tmp_path / "stage.py").write_text(STAGE)
    process = subprocess.Popen(
        [sys.executable, "stage.py"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stderr=subprocess.PIPE,
    )
    while not (tmp_path / "up").exists():
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.05)
    assert list((tmp_path / "data").iterdir())
    process.send_signal(number)
    assert process.wait(10) == 128 + number
    assert list((tmp_path / "data").iterdir()) == []
    assert b"Traceback" not in process.stderr.read()


def test_ignored_signals_stay_ignored(tmp_path: Path, write_params) -> None:
    """As under nohup."""
    code = (
        "import os, signal; signal.signal(signal.SIGHUP, signal.SIG_IGN);"
        "from tasks.shared.endings import raise_on_signals; raise_on_signals();"
        "os.kill(os.getpid(), signal.SIGHUP)"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0


def test_leftovers_of_processes_that_are_no_more(tmp_path: Path) -> None:
    gone = subprocess.Popen(["true"])
    gone.wait()
    for name in (f".edit.{gone.pid}.tmp", f".a.b.{gone.pid}.replaced.tmp"):
        (tmp_path / name / "faces").mkdir(parents=True)
    (tmp_path / f".file.{gone.pid}.tmp").write_text("half")
    kept = [f".edit.{os.getpid()}.tmp", ".notes.tmp", f"edit.{gone.pid}.tmp"]
    for name in kept:
        (tmp_path / name).mkdir()
    remove_leftovers(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(kept)
