"""Flow runs that were killed, as by a reboot: the next run closes them and starts at once."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import StateType
from prefect.settings import PREFECT_API_URL

from flows.conductor import regenerate
from flows.process_identity import has_ended, this_process
from tests.support.processes import kill_everything, ran, wait_for

pytestmark = pytest.mark.usefixtures("prefect_server", "mlflow_uri")

ROOT = Path(__file__).parents[2]
RUN = "from flows.conductor import regenerate; regenerate(targets=['b'], root='.')"


def test_a_killed_run_is_closed_by_the_next_one(project: Callable[..., Path], marked: str) -> None:
    hold = "echo a >> log; [ -e go ] || sleep 600; echo a > a"
    root = project(
        a={"cmd": hold, "outs": ["a"]},
        b={"cmd": "echo b >> log; cp a b", "deps": ["a"], "outs": ["b"]},
    )
    with get_client(sync_client=True) as client:
        earlier = {run.id for run in client.read_flow_runs()}
    flow = subprocess.Popen(
        [sys.executable, "-c", RUN],
        cwd=root,
        env=os.environ | {"PYTHONPATH": str(ROOT), "PREFECT_API_URL": PREFECT_API_URL.value()},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    wait_for(lambda: ran(root) == ["a"], 120)
    kill_everything(marked)
    flow.wait()
    (root / "go").touch()
    state = regenerate(targets=["b"], root=str(root), return_state=True)
    assert state.is_completed()
    assert ran(root) == ["a", "a", "b"]
    with get_client(sync_client=True) as client:
        (killed,) = (
            run
            for run in client.read_flow_runs()
            if run.id not in earlier and run.parameters["root"] == "."
        )
        assert killed.state_type == StateType.CRASHED
        assert "its process was killed" in killed.state.message
        tasks = [task for task in client.read_task_runs() if task.flow_run_id == killed.id]
        assert {task.state_type for task in tasks} <= {StateType.CRASHED, StateType.PENDING}


def test_a_running_process_has_not_ended() -> None:
    assert not has_ended(this_process())
    host, pid, started = this_process().rsplit(" ", 2)
    assert has_ended(f"{host} {pid} {int(started) - 100}")  # the id was reused
    assert not has_ended(f"elsewhere {pid} {int(started) - 100}")
    assert not has_ended("")
