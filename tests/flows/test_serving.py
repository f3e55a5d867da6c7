"""`facsimile serve`: schedule, trigger and alerts; killed and started again."""

import json
import os
import socket
import subprocess
import sys
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest

from facsimile.errors import FacsimileError
from flows.publish import PUBLISHED
from flows.serving import read_schedule
from flows.supervisor import supervised
from tests.support.processes import kill_everything, left_after, ran, wait_for
from tests.support.project import write_params

ROOT = Path(__file__).parents[2]

HOLD = "echo {0} >> log; until [ -e go ]; do sleep 0.1; done; echo {0} > {0}"


class Served:
    """A project served by `facsimile serve`."""

    def __init__(self, root: Path, **environment: str) -> None:
        self.root = root
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        kept = {key: value for key, value in os.environ.items() if "PREFECT" not in key}
        command, options = supervised(
            [sys.executable, "-m", "cli", "serve", "--port", str(self.port)]
        )
        environment |= {"PYTHONPATH": str(ROOT), "PREFECT_RUNNER_POLL_FREQUENCY": "1"}
        with (root / "serve.log").open("a") as log:
            self.process = subprocess.Popen(
                command, cwd=root, env=kept | environment, stdout=log, stderr=log, **options
            )
        standing = root / ".facsimile" / "prefect" / "standing.json"
        wait_for(lambda: standing.exists() and str(self.port) in standing.read_text(), 120)
        address = json.loads(standing.read_text())
        assert standing.stat().st_mode & 0o077 == 0
        user, _, password = address["secret"].partition(":")
        self.api = httpx.Client(base_url=f"{address['url']}/api", auth=(user, password), timeout=60)
        wait_for(lambda: len(self.ask("/deployments/filter")) == 4, 120)

    def ask(self, path: str, values: object = None) -> Any:
        """The answer of the Prefect API; None if it is empty."""
        answers: list[httpx.Response] = []

        def answered() -> bool:
            answers.append(self.api.post(path, json=values or {}))
            return answers[-1].status_code != 503  # its database is locked

        wait_for(answered)
        answers[-1].raise_for_status()
        return answers[-1].json() if answers[-1].content else None

    def start(self, name: str) -> None:
        """Start a run of a deployment."""
        deployment = self.api.get(f"/deployments/name/{name}").json()["id"]
        self.ask(f"/deployments/{deployment}/create_flow_run")

    def publish(self) -> None:
        """Send the event of a new version."""
        resource = {"prefect.resource.id": "facsimile.version.1"}
        event = {"event": PUBLISHED, "resource": resource, "id": str(uuid.uuid4())}
        self.ask("/events", [event | {"occurred": datetime.now(UTC).isoformat()}])

    def states(self) -> list[str]:
        """States of all runs of deployments that are not due later, oldest first."""
        runs = [
            run
            for run in self.ask("/flow_runs/filter")
            if run["deployment_id"] and run["state_name"] != "Scheduled"
        ]
        return [run["state_name"] for run in sorted(runs, key=lambda run: run["created"])]


def copying(source: str, name: str) -> dict[str, Any]:
    """A stage that copies the output of another one."""
    command = f"echo {name} >> log; cp {source} {name}"
    return {"cmd": command, "deps": [source], "outs": [name]}


@pytest.fixture
def stages(project: Callable[..., Path]) -> Path:
    """A project whose first stage waits for the file ``go``."""
    root = project(
        baseline={"cmd": HOLD.format("baseline"), "outs": ["baseline"]},
        train=copying("baseline", "train"),
        evaluate=copying("train", "evaluate"),
    )
    write_params(root, {"operations": {"publish": None}})
    return root


@contextmanager
def webhook() -> Iterator[tuple[str, list[dict]]]:
    """URL of a web server, and the JSON bodies posted to it."""
    bodies: list[dict] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            bodies.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/secret", bodies
        server.shutdown()


@pytest.mark.slow
def test_a_served_project_survives_a_reboot(stages: Path, marked: str) -> None:
    with webhook() as (url, bodies):
        served = Served(stages, FACSIMILE_ALERT_WEBHOOK=url)
        (scheduled,) = [d for d in served.ask("/deployments/filter") if d["schedules"]]
        assert scheduled["schedules"][0]["schedule"]["cron"] == "0 2 * * 0"
        served.start("update-dataset/scheduled")
        wait_for(lambda: ran(stages) == ["baseline"], 120)
        kill_everything(marked)
        served.process.wait()

        served = Served(stages, FACSIMILE_ALERT_WEBHOOK=url)
        wait_for(lambda: served.states() == ["Crashed"], 120)
        served.start("update-dataset/scheduled")
        wait_for(lambda: ran(stages) == ["baseline", "baseline"], 120)
        served.start("update-dataset/scheduled")  # waits for the one before
        (stages / "go").touch()
        wait_for(lambda: served.states() == ["Crashed", "Completed", "Completed"], 120)
        assert ran(stages) == ["baseline", "baseline", "train", "evaluate"]

        # A new version starts `retrain`, which fails.
        pipeline = (stages / "dvc.yaml").read_text()
        (stages / "dvc.yaml").write_text(pipeline.replace("cp train evaluate", "exit 2"))
        served.publish()
        wait_for(lambda: ran(stages)[4:] == ["evaluate"], 120)
        wait_for(lambda: bool(bodies), 120)
        # An alert for the run that the reboot killed follows within 15 minutes.
        assert bodies[-1]["text"].startswith("Facsimile: retrain (")
        assert "is Failed. evaluate:" in bodies[-1]["text"]

        served.process.terminate()
        served.process.wait()
    assert left_after(10, marked) == []
    assert not (stages / ".facsimile" / "prefect" / "standing.json").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"schedule": "every night"},
            "operations.schedule: 'every night' is not a cron expression",
        ),
        ({"timezone": "Rome"}, "operations.timezone: 'Rome' is not an IANA time zone"),
    ],
)
def test_bad_schedules(tmp_path: Path, changes: dict[str, str], message: str) -> None:
    write_params(tmp_path, {"operations": changes})
    with pytest.raises(FacsimileError, match=message):
        read_schedule(tmp_path)
