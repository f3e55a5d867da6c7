"""The Prefect server for flows: the user's, that of `facsimile serve`, or a temporary one.

Prefect's own temporary server outlives a killed parent, serves anyone who can reach its port,
prints errors to the terminal and keeps its database in the home folder. The servers started here
end with their parent, require a secret, log to a file and keep their data in the project.
"""

import atexit
import json
import os
import secrets
import socket
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from facsimile.errors import FacsimileError
from flows import state_folder
from flows.loopback import HOST, SECONDS_TO_ANSWER, answers, reserve
from flows.process_identity import has_ended, this_process
from flows.supervisor import supervised

LOG = "server.log"
STANDING = "standing.json"
"""Address and secret of the server of `facsimile serve`, in Prefect's home folder while it runs."""

_POLL_SECONDS = 0.1


@dataclass(frozen=True)
class Address:
    """Where a server started here is, and who started it.

    Attributes:
        url: of the pages; the API is at ``<url>/api``.
        secret: ``user:password`` of API and pages.
        process: identity of the process that started the server.
    """

    url: str
    secret: str
    process: str


def connect(root: Path) -> None:
    """Connect Prefect to a working server. Call it before running a flow.

    Uses the server that the user has configured (PREFECT_API_URL, a profile or any other Prefect
    setting), or else the one of `facsimile serve` in the same project. Otherwise starts a temporary
    server, which ends with this process.

    Args:
        root: project folder. Its state folder replaces ~/.prefect, unless PREFECT_HOME is set.

    Raises:
        FacsimileError: the server does not respond or start, or its folder is not writable.
    """
    folder = prepare(root)
    if _is_configured():
        _check()
    elif standing := _standing(folder):
        _use(standing)
    else:
        _use(_start(folder, port=0, temporary=True))


def connect_standing(root: Path, port: int) -> Address | None:
    """Connect Prefect to the user's server, or start one for `facsimile serve`.

    It also schedules runs and evaluates automations, which a temporary server does not.

    Args:
        root: project folder, see `connect`.
        port: port of 127.0.0.1.

    Returns:
        Address of the server that was started; None for the user's.

    Raises:
        FacsimileError: as in `connect`; also if the project has such a server already, or the port
            is taken.
    """
    folder = prepare(root)
    if _is_configured():
        _check()
        return None
    if standing := _standing(folder):
        raise FacsimileError(f"this project is already served at {standing.url}")
    address = _start(folder, port, temporary=False)
    _use(address)
    path = folder / STANDING
    path.touch(mode=0o600)
    path.write_text(json.dumps(asdict(address)))
    atexit.register(path.unlink, missing_ok=True)
    return address


def prepare(root: Path) -> Path:
    """Set Prefect's home folder, and return it. Call it before importing Prefect."""
    os.environ.update(state_folder.user_environment(root))
    return _prefect_home(root)


def _is_configured() -> bool:
    from prefect.settings import get_current_settings

    return bool(get_current_settings().api.url)


def _standing(folder: Path) -> Address | None:
    """The server of `facsimile serve`, if it runs."""
    try:
        address = Address(**json.loads((folder / STANDING).read_text()))
    except (OSError, ValueError, TypeError):  # none, or the file is being written
        return None
    alive = not has_ended(address.process) and answers(f"{address.url}/api/health")
    return address if alive else None


def _use(address: Address) -> None:
    """Configure Prefect in this process and its children to use a server."""
    from prefect.context import refresh_global_settings_context

    os.environ["PREFECT_API_URL"] = f"{address.url}/api"
    os.environ["PREFECT_API_AUTH_STRING"] = address.secret
    # Prefect would wait minutes for a server that has ended.
    os.environ.setdefault("PREFECT_CLIENT_MAX_RETRIES", "2")
    _bypass_proxies()
    refresh_global_settings_context()


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


def _start(folder: Path, port: int, *, temporary: bool) -> Address:
    """Start a server on a port of 127.0.0.1 (0: any free one)."""
    from prefect.settings import get_current_settings

    listener = reserve(port)
    url = f"http://{HOST}:{listener.getsockname()[1]}"
    address = Address(url, f"facsimile:{secrets.token_urlsafe(32)}", this_process())
    settings = {
        "PREFECT_SERVER_API_AUTH_STRING": address.secret,
        "PREFECT_SERVER_API_CORS_ALLOWED_ORIGINS": url,
        "PREFECT_UI_API_URL": f"{url}/api",
        "PREFECT_UI_STATIC_DIRECTORY": str(folder / "ui"),
    }
    if not temporary:  # runs older than 90 days are deleted
        settings["PREFECT_SERVER_SERVICES_DB_VACUUM_ENABLED"] = "events,flow_runs"
    command = [sys.executable, "-m", "flows.server"]
    argv, options = supervised(command if temporary else [*command, "standing"])
    log = folder / LOG
    with listener, log.open("w") as file:
        server = subprocess.Popen(
            argv, env=os.environ | settings, stdin=listener, stdout=file, stderr=file, **options
        )
    atexit.register(_stop, server)
    timeout = get_current_settings().server.ephemeral.startup_timeout_seconds
    deadline = time.monotonic() + timeout
    while not answers(f"{url}/api/health"):
        if server.poll() is not None or time.monotonic() > deadline:
            _stop(server)
            raise FacsimileError(f"the Prefect server did not start; see {log}")
        time.sleep(_POLL_SECONDS)
    return address


def _bypass_proxies() -> None:
    """Exclude 127.0.0.1 from the proxies set in the user's environment."""
    for name in ("no_proxy", "NO_PROXY"):
        others = os.environ.get(name)
        os.environ[name] = f"{others},127.0.0.1" if others else "127.0.0.1"


def _stop(server: subprocess.Popen) -> None:
    server.terminate()
    server.wait()


def _serve(*, temporary: bool) -> None:
    """Run the server on the socket passed as standard input."""
    import uvicorn
    from prefect.server.api.server import create_app

    app = create_app(ephemeral=temporary, final=True)
    config = uvicorn.Config(app, log_level="error", lifespan="on", timeout_graceful_shutdown=1)
    uvicorn.Server(config).run(sockets=[socket.socket(fileno=0)])


if __name__ == "__main__":
    _serve(temporary="standing" not in sys.argv[1:])
