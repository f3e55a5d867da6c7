"""The temporary Prefect server, really started; and what becomes of servers that do not answer."""

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import httpx
import psutil
import pytest
from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_URL, temporary_settings

from facsimile.errors import FacsimileError
from flows import server
from tests.support.processes import left_after, ran, wait_for
from tests.support.project import write_params

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
# What `facsimile run` does before its flow, and a flow; then it says where the server is and waits.
PARENT = """
import os, sys
from pathlib import Path
from flows import server
server.connect(Path.cwd())
from prefect import flow
flow(lambda: None, name="nothing")()
server.connect(Path.cwd())  # as a second flow in the same process does
print(os.environ["PREFECT_API_URL"], flush=True)
sys.stdin.read()
"""


def test_the_temporary_server_serves_its_own_run_and_ends_with_it(
    tmp_path: Path, marked: str
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    environment = {key: value for key, value in os.environ.items() if "PREFECT" not in key}
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT],
        cwd=tmp_path,
        env=environment | {"HOME": str(home), "PYTHONPATH": str(ROOT), "HTTP_PROXY": "http://x.:9"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    url = parent.stdout.readline().strip()
    assert url.startswith("http://127.0.0.1:")
    check_strangers_are_refused(url)
    # Users of other machines do not get as far as that.
    listening = {
        connection.laddr.ip
        for process in psutil.Process(parent.pid).children(recursive=True)
        for connection in process.net_connections()
        if connection.status == psutil.CONN_LISTEN
    }
    assert listening == {"127.0.0.1"}
    assert (tmp_path / ".facsimile" / "prefect" / "prefect.db").exists()
    assert not list(home.iterdir())

    parent.send_signal(signal.SIGKILL)
    parent.wait()
    assert left_after(5, marked) == []


def check_strangers_are_refused(url: str) -> None:
    """Users without the password, and pages from elsewhere in a browser."""
    assert httpx.post(f"{url}/flow_runs/filter", json={}).status_code == 401
    asks = {"Origin": "http://elsewhere.example", "Access-Control-Request-Method": "POST"}
    preflight = httpx.options(f"{url}/flow_runs/filter", headers=asks)
    assert "access-control-allow-origin" not in preflight.headers


def test_an_unreachable_server_is_reported_in_one_line(tmp_path: Path) -> None:
    """From the command line, before a flow begins."""
    (tmp_path / "dvc.yaml").write_text("stages: {a: {cmd: x, outs: [a]}}\n")
    (tmp_path / "params.yaml").write_bytes((ROOT / "params.yaml").read_bytes())
    result = subprocess.run(
        [sys.executable, "-m", "cli", "run", "a", "--root", str(tmp_path)],
        cwd=ROOT,
        env=os.environ | {"PREFECT_API_URL": "http://127.0.0.1:9/api"},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 2
    *_, line = result.stderr.splitlines()
    assert "Traceback" not in result.stderr
    assert line.startswith("facsimile: Prefect API http://127.0.0.1:9/api")
    assert "Connection refused" in line and "unset PREFECT_API_URL" in line


@pytest.fixture
def project_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path / "prefect"))
    return tmp_path


def test_a_silent_server(project_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "SECONDS_TO_ANSWER", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/api"
        times_out = pytest.raises(FacsimileError, match=r"does not respond .*timed out")
        with temporary_settings({PREFECT_API_URL: url}), times_out:
            server.connect(project_home)


@pytest.mark.parametrize(
    ("address", "password", "message"),
    [
        ("/api", "right", None),
        ("/api", "wrong", "status 401; check PREFECT_API_AUTH_STRING"),
        ("", "right", "status 404; check PREFECT_API_URL"),
    ],
)
def test_a_server_that_refuses(
    project_home: Path, address: str, password: str, message: str | None
) -> None:
    with standing_server() as url:
        own = {PREFECT_API_URL: f"{url}{address}", PREFECT_API_AUTH_STRING: f"facsimile:{password}"}
        with temporary_settings(own):
            if message is None:
                server.connect(project_home)
                return
            with pytest.raises(FacsimileError, match=message):
                server.connect(project_home)


@contextmanager
def standing_server() -> Iterator[str]:
    """Answers as Prefect does where the password is "right"."""
    right = httpx.BasicAuth("facsimile", "right")._auth_header

    class Answers(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.reply(200 if self.path == "/api/health" else 404)

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.reply(200 if self.headers["Authorization"] == right else 401)

        def reply(self, status: int) -> None:
            self.send_response(status)
            self.send_header("Content-Length", "1")
            self.end_headers()
            self.wfile.write(b"1")

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Answers) as answers:
        threading.Thread(target=answers.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{answers.server_port}"
        answers.shutdown()


def test_a_home_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path / "file" / "prefect"))
    with pytest.raises(FacsimileError, match=r"PREFECT_HOME: .*Not a directory"):
        server.connect(tmp_path)


def test_profiles_of_the_user_stay_in_force(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("PREFECT_HOME", "PREFECT_PROFILES_PATH"):
        monkeypatch.setenv(name, "")  # restored after the test
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    profiles = tmp_path / ".prefect" / "profiles.toml"
    profiles.parent.mkdir()
    url = "http://127.0.0.1:9/api"
    profiles.write_text(f'active = "lab"\n[profiles.lab]\nPREFECT_API_URL = "{url}"\n')
    found = subprocess.run(
        [
            sys.executable,
            "-c",
            "from pathlib import Path; from flows import server; server.connect(Path.cwd())",
        ],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert f"FacsimileError: Prefect API {url}" in found.stderr


def test_a_server_that_ends_during_a_run(project: Callable[..., Path], marked: str) -> None:
    held = "echo a >> log; until [ -e go ]; do sleep 0.1; done; echo a > a"
    root = project(
        a={"cmd": held, "outs": ["a"]},
        b={"cmd": "cp a b", "deps": ["a"], "outs": ["b"]},
    )
    write_params(root, {})
    environment = {key: value for key, value in os.environ.items() if "PREFECT" not in key}
    environment |= {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "cli", "run", "b"]

    def start(retries: str) -> subprocess.Popen:
        variables = environment | {"PREFECT_CLIENT_MAX_RETRIES": retries}
        return subprocess.Popen(command, cwd=root, env=variables, stderr=subprocess.PIPE, text=True)

    run = start(retries="0")
    wait_for(lambda: ran(root) == ["a"], 120)
    for process in psutil.Process(run.pid).children(recursive=True):
        with suppress(psutil.Error):
            if "flows.server" in process.cmdline():
                process.kill()
    (root / "go").touch()
    _, errors = run.communicate()
    assert run.returncode == 2
    assert "facsimile: the Prefect server stopped responding during the run" in errors

    again = start(retries="5")
    _, errors = again.communicate()
    assert again.returncode == 0, errors
    assert ran(root) == ["a"] and (root / "b").exists()
    assert left_after(10, marked) == []
