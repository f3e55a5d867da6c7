"""The Prefect server that flows report to: the user's, or a temporary one of this process.

Prefect would start a temporary one by itself. It outlives a parent that is killed, obeys whoever
can reach its port, takes its errors to the terminal and keeps its database in the user's home.
This one ends with its parent, obeys only that, logs to a file, and lives in the project.
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

_SECONDS_BETWEEN_LOOKS = 0.1


def connect(root: Path) -> None:
    """Have Prefect report to a server that answers. To be called before a flow is run.

    It is the one that the user has set, by PREFECT_API_URL, a profile or any other way that Prefect
    knows; else a temporary one is started, which ends with this process.

    Args:
        root: project folder; holds what Prefect would else keep in ~/.prefect, unless PREFECT_HOME
            names another folder.

    Raises:
        FacsimileError: the server does not answer or start, or its folder cannot be written.
    """
    os.environ.update(state_folder.user_environment(root))
    folder = _home(root)
    from prefect.settings import get_current_settings

    if get_current_settings().api.url:
        _check()
    else:
        _start(folder)


def _home(root: Path) -> Path:
    """Prefect's home folder; profiles of the user stay in force where it is that of a project."""
    if given := os.environ.get("PREFECT_HOME"):
        folder = Path(given).expanduser()
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise FacsimileError(f"PREFECT_HOME: {folder}: {error.strerror}") from None
        state_folder.check_writable(folder, "set PREFECT_HOME to a folder that can be")
        return folder
    folder = state_folder.make_folder(root, "prefect")
    profiles = Path("~/.prefect/profiles.toml").expanduser()
    if os.access(profiles, os.R_OK):
        os.environ.setdefault("PREFECT_PROFILES_PATH", str(profiles))
    os.environ["PREFECT_HOME"] = str(folder)
    return folder


def _check() -> None:
    """See whether the server that Prefect is set to answers, and takes our word for who we are.

    Prefect itself would try for minutes.
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
            cure = "PREFECT_API_AUTH_STRING" if code in (401, 403) else "PREFECT_API_URL"
            raise FacsimileError(f"{where} answers with status {code}; see {cure}") from None
        except httpx.HTTPError as error:
            raise FacsimileError(
                f"{where} does not answer ({error or type(error).__name__}); start that server, or "
                "unset PREFECT_API_URL to have a temporary one"
            ) from None


def _start(folder: Path) -> None:
    """Start a temporary server, and set Prefect to it."""
    from prefect.context import refresh_global_settings_context
    from prefect.settings import get_current_settings

    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))  # not before it listens does anyone get through
    address = f"http://127.0.0.1:{listener.getsockname()[1]}"
    secret = f"facsimile:{secrets.token_urlsafe(32)}"
    own = {
        "PREFECT_SERVER_API_AUTH_STRING": secret,
        "PREFECT_SERVER_API_CORS_ALLOWED_ORIGINS": address,
    }
    argv, options = supervised([sys.executable, "-m", "flows.server"])
    log = folder / LOG
    with listener, log.open("w") as file:
        server = subprocess.Popen(
            argv, env=os.environ | own, stdin=listener, stdout=file, stderr=file, **options
        )
    atexit.register(_stop, server)
    patience = get_current_settings().server.ephemeral.startup_timeout_seconds
    deadline = time.monotonic() + patience
    while not _answers(f"{address}/api/health"):
        if server.poll() is not None or time.monotonic() > deadline:
            _stop(server)
            raise FacsimileError(f"the temporary Prefect server did not start; see {log}")
        time.sleep(_SECONDS_BETWEEN_LOOKS)

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
    """Have no request to this machine sent to a proxy that the user's environment names."""
    for name in ("no_proxy", "NO_PROXY"):
        others = os.environ.get(name)
        os.environ[name] = f"{others},127.0.0.1" if others else "127.0.0.1"


def _stop(server: subprocess.Popen) -> None:
    server.terminate()
    server.wait()


def _serve() -> None:
    """Be the server, on the socket that is standard input."""
    import uvicorn
    from prefect.server.api.server import create_app

    app = create_app(ephemeral=True, final=True)
    config = uvicorn.Config(app, log_level="error", lifespan="on", timeout_graceful_shutdown=1)
    uvicorn.Server(config).run(sockets=[socket.socket(fileno=0)])


if __name__ == "__main__":
    _serve()
