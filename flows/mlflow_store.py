"""An MLflow store that costs a run nothing but a few seconds when it fails.

Nothing that goes wrong with it is raised: the work of a run is worth more than its notes. It is
told at the end of the command instead (`MLflowStore.failure`).

The store is ``mlflow.db`` with artifacts under ``mlruns/`` in the project folder, unless
MLFLOW_TRACKING_URI names another one.
"""

import logging
import os
import re
import socket
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import quote

if TYPE_CHECKING:
    from mlflow import MlflowClient

EXPERIMENT = "facsimile"
STORE = "mlflow.db"

# MLflow would wait 120 s for an answer and ask eight times within 4 min, at each request.
_TRY = {"TIMEOUT": "5", "MAX_RETRIES": "0"}
_PATIENCE = {"TIMEOUT": "30", "MAX_RETRIES": "1"}
_SECONDS_TO_OPEN = 30.0  # a database server may need them for its first tables
_SECONDS_LOCKED = 5.0

_CREDENTIALS = re.compile(r"//[^/@\s]+@")

T = TypeVar("T")


class MLflowStore:
    """One MLflow store, opened at the first use.

    Args:
        root: project folder.
        reading: nothing is to be logged, and so no experiment to be created.

    Attributes:
        failure: why something could not be logged or read, in one line; empty so far.
        experiment: id of the experiment to log to, once the store is open.
    """

    def __init__(self, root: Path, *, reading: bool = False) -> None:
        self.root = root
        self.reading = reading
        self.failure = ""
        self.experiment = ""
        self._client: MlflowClient | None = None
        self._lost = False
        self._lock = threading.RLock()  # stages finish side by side; the store is set up once

    @property
    def exists(self) -> bool:
        """Whether there is a store to read from; looking for runs would create one."""
        return bool(os.environ.get("MLFLOW_TRACKING_URI")) or (self.root / STORE).exists()

    def attempt(self, use: Callable[["MlflowClient"], T]) -> T | None:
        """What `use` returns; None where it or the store failed, with `failure` set.

        A store that did not answer is not asked again.
        """
        with self._lock:
            if self._lost:
                return None
            try:
                client = self._open()
            except Exception as error:
                self._lost = True
                return self._fail(error)
            try:
                with _settings(_PATIENCE):
                    return use(client)
            except Exception as error:
                self._fail(error)
                try:  # was it what was logged, or the store?
                    with _settings(_TRY):
                        client.get_experiment_by_name(EXPERIMENT)
                except Exception:
                    self._lost = True
                return None

    def _open(self) -> "MlflowClient":
        """The client; the first call creates store and experiment where they are not there."""
        if self._client is None:
            uri = self._uri()
            if uri.startswith("sqlite"):
                _check_sqlite(uri)
            if uri.startswith(("sqlite", "http")):  # requests have a limit, perhaps the user's
                self._client = self._connect(uri)
            else:
                self._client = _within(_SECONDS_TO_OPEN, lambda: self._connect(uri))
        return self._client

    def _connect(self, uri: str) -> "MlflowClient":
        from mlflow import MlflowClient

        # The first use creates the tables, and says so table by table.
        logging.getLogger("alembic").setLevel(logging.WARNING)
        with _settings(_TRY):
            client = MlflowClient(uri)
            experiment = client.get_experiment_by_name(EXPERIMENT)
        if experiment:
            self.experiment = experiment.experiment_id
        elif not self.reading:
            own = not os.environ.get("MLFLOW_TRACKING_URI")
            place = (self.root / "mlruns").as_uri() if own else None
            with _settings(_PATIENCE):
                self.experiment = client.create_experiment(EXPERIMENT, place)
        return client

    def _uri(self) -> str:
        from sqlalchemy import URL

        given = os.environ.get("MLFLOW_TRACKING_URI")
        if given:
            return given
        # As a file URI, which SQLite reads itself: a `?` would end a plain path. With the driver
        # named, MLflow does not take it for a folder to create.
        database = f"file:{quote(str(self.root / STORE))}"
        url = URL.create("sqlite+pysqlite", database=database, query={"uri": "true"})
        return url.render_as_string()

    def _fail(self, error: Exception) -> None:
        given = os.environ.get("MLFLOW_TRACKING_URI")
        where = f"MLflow at {given}" if given else f"MLflow, {self.root / STORE}"
        self.failure = self.failure or _CREDENTIALS.sub("//", f"{where}: {_reason(error)}")[:400]


@contextmanager
def _settings(ours: Mapping[str, str]) -> Iterator[None]:
    """Settings of MLflow's requests, which it reads at each of them. What the user set stays."""
    ours = {f"MLFLOW_HTTP_REQUEST_{name}": value for name, value in ours.items()}
    ours["MLFLOW_HTTP_RESPECT_RETRY_AFTER_HEADER"] = "false"
    ours = {name: value for name, value in ours.items() if name not in os.environ}
    os.environ.update(ours)
    try:
        yield
    finally:
        for name in ours:
            os.environ.pop(name, None)


def _check_sqlite(uri: str) -> None:
    """MLflow tries for 100 s to open a file that cannot be opened or written.

    Raises:
        sqlite3.Error, ValueError: it cannot.
    """
    from sqlalchemy import make_url

    path = make_url(uri).database
    as_uri = bool(path) and path.startswith("file:")
    if not path or path == ":memory:" or not (as_uri or Path(path).parent.exists()):
        return
    connection = sqlite3.connect(path, timeout=_SECONDS_LOCKED, uri=as_uri)
    try:
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("ROLLBACK")
    finally:
        connection.close()


def _within(seconds: float, connect: Callable[[], T]) -> T:
    """What `connect` returns.

    Raises:
        TimeoutError: it takes longer.
    """
    future: Future[T] = Future()

    def work() -> None:
        try:
            future.set_result(connect())
        except BaseException as error:
            # Raised again elsewhere, it would take what is handled there for its context.
            error.__cause__ = error.__cause__ or error.__context__
            future.set_exception(error)

    # A daemon, so that one that never ends does not keep the process from ending.
    threading.Thread(target=work, daemon=True).start()
    begin = time.monotonic()
    try:
        return future.result(seconds)
    except TimeoutError as error:
        if time.monotonic() - begin < seconds:  # one of its own
            raise
        raise TimeoutError(f"no answer within {seconds:.0f} s") from error


def _reason(error: BaseException) -> str:
    """The first line of an error; of one of the network, what the system said of it."""
    chain: list[BaseException] = [error]
    while cause := chain[-1].__cause__ or chain[-1].__context__:
        chain.append(cause)
    for link in chain:
        if isinstance(link, (ConnectionError, TimeoutError, socket.gaierror)) and str(link):
            return link.strerror or str(link)
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
