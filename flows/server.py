"""The Prefect server for flows: the user's, or a temporary one started here.

Prefect's own temporary server outlives a killed parent, serves anyone who can reach its port,
prints errors to the terminal and keeps its database in the home folder. The one started here ends
with its parent, requires a secret, logs to a file and keeps its data in the project.
"""

import atexit
import os
import secrets
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

from facsimile.errors import FacsimileError
from flows import state_folder
from flows.supervisor import supervised

SECONDS_TO_ANSWER = 5.0
LOG = "server.log"

_POLL_SECONDS = 0.1


def connect(root: Path) -> None:
    """Connect Prefect to a working server. Call it before running a flow.

    Uses the server that the user has configured (PREFECT_API_URL, a profile or any other Prefect
    setting). Otherwise starts a temporary server, which ends with this process.

    Args:
        root: project folder. Its state folder replaces ~/.prefect, unless PREFECT_HOME is set.

    Raises:
        FacsimileError: the server does not respond or start, or its folder is not writable.
    """
    os.environ.update(state_folder.user_environment(root))
    folder = _prefect_home(root)
    from prefect.settings import get_current_settings

    if get_current_settings().api.url:
        _check()
    else:
        _start(folder)


def _prefect_home(root: Path) -> Path:
    """Prefect's home folder. In a project's state folder, the user's profiles still apply."""
    if path := os.environ.get("PREFECT_HOME"):
        folder = Path(path).expanduser()
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise FacsimileError(f"PREFECT_HOME: {folder}: {error.strerror}") from None
        state_folder.check_writable(folder, "set PREFECT_HOME to a writable folder")
        return folder
    folder = state_folder.make_folder(root, "prefect")
    profiles = Path("~/.prefect/profiles.toml").expanduser()
    if os.access(profiles, os.R_OK):
        os.environ.setdefault("PREFECT_PROFILES_PATH", str(profiles))
    os.environ["PREFECT_HOME"] = str(folder)
    return folder


def _check() -> None:
    """Check that the configured server responds and accepts our credentials.

    Prefect itself would retry for minutes.
    """
    import httpx
    from prefect.client.orchestration import get_client
    from prefect.exceptions import PrefectHTTPStatusError
    from prefect.settings import PREFECT_CLIENT_MAX_RETRIES, temporary_settings

    with temporary_settings({PREFECT_CLIENT_MAX_RETRIES: 0}):
        client = get_client(sync_client=True, httpx_settings={"timeout": SECONDS_TO_ANSWER})
        where = f"Prefect API {client.api_url}"
        try:
            client.request("GET", "/health")
            client.request("POST", "/flows/count", json={})
        except PrefectHTTPStatusError as error:
            code = error.response.status_code
            setting = "PREFECT_API_AUTH_STRING" if code in (401, 403) else "PREFECT_API_URL"
            raise FacsimileError(f"{where} returns status {code}; check {setting}") from None
        except httpx.HTTPError as error:
            raise FacsimileError(
                f"{where} does not respond ({error or type(error).__name__}); start the server, or "
                "unset PREFECT_API_URL to use a temporary one"
            ) from None


def _start(folder: Path) -> None:
    """Start a temporary server and configure Prefect to use it."""
    from prefect.context import refresh_global_settings_context
    from prefect.settings import get_current_settings

    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))  # refuses connections until the server listens
    address = f"http://127.0.0.1:{listener.getsockname()[1]}"
    secret = f"facsimile:{secrets.token_urlsafe(32)}"
    settings = {
        "PREFECT_SERVER_API_AUTH_STRING": secret,
        "PREFECT_SERVER_API_CORS_ALLOWED_ORIGINS": address,
    }
    argv, options = supervised([sys.executable, "-m", "flows.server"])
    log = folder / LOG
    with listener, log.open("w") as file:
        server = subprocess.Popen(
            argv, env=os.environ | settings, stdin=listener, stdout=file, stderr=file, **options
        )
    atexit.register(_stop, server)
    timeout = get_current_settings().server.ephemeral.startup_timeout_seconds
    deadline = time.monotonic() + timeout
    while not _answers(f"{address}/api/health"):
        if server.poll() is not None or time.monotonic() > deadline:
            _stop(server)
            raise FacsimileError(f"the temporary Prefect server did not start; see {log}")
        time.sleep(_POLL_SECONDS)

    os.environ["PREFECT_API_URL"] = f"{address}/api"
    os.environ["PREFECT_API_AUTH_STRING"] = secret
    _bypass_proxies()
    refresh_global_settings_context()


def _answers(url: str) -> bool:
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with direct.open(url, timeout=SECONDS_TO_ANSWER):
            return True
    except OSError:
        return False


def _bypass_proxies() -> None:
    """Exclude 127.0.0.1 from the proxies set in the user's environment."""
    for name in ("no_proxy", "NO_PROXY"):
        others = os.environ.get(name)
        os.environ[name] = f"{others},127.0.0.1" if others else "127.0.0.1"


def _stop(server: subprocess.Popen) -> None:
    server.terminate()
    server.wait()


def _serve() -> None:
    """Run the server on the socket passed as standard input."""
    import uvicorn
    from prefect.server.api.server import create_app

    app = create_app(ephemeral=True, final=True)
    config = uvicorn.Config(app, log_level="error", lifespan="on", timeout_graceful_shutdown=1)
    uvicorn.Server(config).run(sockets=[socket.socket(fileno=0)])


if __name__ == "__main__":
    _serve()
