"""A standing server as docs/operations.md sets it up: its commands are run as they stand there."""

import os
import re
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from flows.supervisor import supervised
from tests.flows.test_server import check_strangers_are_refused
from tests.support.processes import ran, wait_for
from tests.support.project import write_params

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]


def test_deployments_run_as_documented(project: Callable[..., Path], tmp_path: Path) -> None:
    # The first stage waits until the test has seen what becomes of runs beside it.
    held = "timeout 120 sh -c 'until [ -e go ]; do sleep 0.1; done'"
    root = project(
        baseline={"cmd": f"{held} && echo baseline | tee -a log > baseline", "outs": ["baseline"]},
        train={"cmd": "echo train | tee -a log > train", "deps": ["baseline"], "outs": ["train"]},
        evaluate={"cmd": "cp train evaluate", "deps": ["train"], "outs": ["evaluate"]},
    )
    (root / "flows").symlink_to(ROOT / "flows")
    (root / "prefect.yaml").symlink_to(ROOT / "prefect.yaml")
    write_params(root, {"operations": {"publish": None, "timezone": "Europe/Rome"}})
    operator = Operator(root, tmp_path / "home")

    operator.run("server.env) <<END")
    settings = operator.settings()
    assert (root / ".facsimile" / "server.env").stat().st_mode & 0o077 == 0
    server = operator.start("prefect server start", root)
    worker = None
    try:
        wait_for(lambda: answers(settings["PREFECT_API_URL"]), 120)
        check_strangers_are_refused(settings["PREFECT_API_URL"])
        operator.run("prefect deploy --all")

        api = Api(settings)
        wait_for(lambda: api.coming_runs() > 1, 120)
        schedule = api.schedule("update-dataset/scheduled")
        assert (schedule["cron"], schedule["timezone"]) == ("0 2 * * 0", "Europe/Rome")
        for _ in range(2):  # missed without a worker
            api.ask(
                "POST", f"/deployments/{api.deployment('update-dataset/scheduled')}/create_flow_run"
            )
        # Where it is started does not matter.
        worker = operator.start("prefect worker start --pool local", tmp_path / "home")
        wait_for(lambda: api.states("scheduled") == {"RUNNING": 2}, 120)

        # Runs of one project take turns.
        operator.run("prefect deployment run retrain/on-new-version")
        wait_for(lambda: api.states("on-new-version") == {"RUNNING": 1}, 120)
        (root / "go").touch()
        wait_for(lambda: api.states("on-new-version") == {"COMPLETED": 1}, 120)
        wait_for(lambda: api.states("scheduled") == {"COMPLETED": 2}, 120)
        assert ran(root) == ["baseline", "train"]
    finally:
        for process in filter(None, (worker, server)):
            process.terminate()
            process.wait()


class Operator:
    """Works in a terminal of the project, with nothing set but what the commands set."""

    def __init__(self, root: Path, home: Path) -> None:
        self.root = root
        home.mkdir()
        command = home / "prefect"
        command.write_text(f'#!/bin/sh\nexec {sys.executable} -m prefect "$@"\n')
        command.chmod(0o755)
        kept = {key: value for key, value in os.environ.items() if "PREFECT" not in key}
        self.environment = kept | {
            "HOME": str(home),
            "PATH": f"{home}:{Path(sys.executable).parent}:{os.environ['PATH']}",
            "PREFECT_WORKER_QUERY_SECONDS": "0.5",  # 10 by default
        }
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = str(free.getsockname()[1])
        text = (ROOT / "docs" / "operations.md").read_text()
        self.blocks = re.findall(r"```sh\n(.+?)```", text, re.DOTALL)

    def run(self, words: str) -> None:
        """Run the commands of the block that has `words` in it."""
        subprocess.run(["sh", "-ec", self._script(words)], **self._options(self.root), check=True)

    def start(self, words: str, folder: Path) -> subprocess.Popen:
        """Start them, in some folder."""
        argv, options = supervised(["sh", "-ec", self._script(words)])
        return subprocess.Popen(argv, **options, **self._options(folder))

    def settings(self) -> dict[str, str]:
        lines = (self.root / ".facsimile" / "server.env").read_text().splitlines()
        return dict(line.split("=", 1) for line in lines)

    def _script(self, words: str) -> str:
        (block,) = (block for block in self.blocks if words in block)
        (reading,) = (block for block in self.blocks if "set -a" in block)
        if (self.root / ".facsimile").exists():
            block = f"cd {self.root}\n{reading}cd - > /dev/null\n{block}"
        if words == "prefect deployment run retrain/on-new-version":
            block = block.replace("prefect deployment run update-dataset/scheduled\n", "")
        return block.replace("4200", self.port)

    def _options(self, folder: Path) -> dict[str, object]:
        return {"cwd": folder, "env": self.environment, "stdin": subprocess.DEVNULL}


class Api:
    """The Prefect API, protected by a password."""

    def __init__(self, settings: dict[str, str]) -> None:
        user, _, password = settings["PREFECT_API_AUTH_STRING"].partition(":")
        self.client = httpx.Client(
            base_url=settings["PREFECT_API_URL"], auth=(user, password), timeout=60
        )

    def ask(self, method: str, path: str, **options: Any) -> Any:
        response = self.client.request(method, path, **{"json": {}} | options)
        response.raise_for_status()
        return response.json()

    def deployment(self, name: str) -> str:
        return self.client.get(f"/deployments/name/{name}").json()["id"]

    def start(self, name: str) -> None:
        self.ask("POST", f"/deployments/{self.deployment(name)}/create_flow_run")

    def schedule(self, name: str) -> dict[str, Any]:
        deployment = self.client.get(f"/deployments/name/{name}").json()
        return deployment["schedules"][0]["schedule"]

    def coming_runs(self) -> int:
        return sum(run["auto_scheduled"] for run in self.runs("scheduled"))

    def states(self, deployment: str) -> Counter[str]:
        """How many runs of a deployment are in which state, but for those that are due later."""
        runs = self.runs(deployment)
        return Counter(run["state_type"] for run in runs if not run["auto_scheduled"])

    def runs(self, deployment: str) -> list[dict[str, Any]]:
        wanted = {"deployments": {"name": {"any_": [deployment]}}}
        return self.ask("POST", "/flow_runs/filter", json=wanted)


def answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health").status_code == 200
    except httpx.TransportError:
        return False
