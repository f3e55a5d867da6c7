"""Access to an MLflow store. A failing store delays a run by a few seconds, but never fails it.

Errors are not raised, because results matter more than their log. `MLflowStore.failure` holds the
first error, which is printed when the command ends.

The store is ``mlflow.db`` with artifacts in ``mlruns/`` in the project folder, unless
MLFLOW_TRACKING_URI is set.
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
ARTIFACTS = "mlruns"

# By default, MLflow waits up to 120 s for a response and retries each request for about 4 min.
_PROBE = {"TIMEOUT": "5", "MAX_RETRIES": "0"}
_REQUEST = {"TIMEOUT": "30", "MAX_RETRIES": "1"}
_SECONDS_TO_OPEN = 30.0  # a database server may need this long to create its tables
_SECONDS_LOCKED = 5.0

_CREDENTIALS = re.compile(r"//[^/@\s]+@")

T = TypeVar("T")


class MLflowStore:
    """An MLflow store, opened on first use.

    Args:
        root: project folder.
        reading: only read; do not create the experiment.

    Attributes:
        failure: the first error of logging or reading, in one line; empty if there was none.
        experiment: id of the experiment to log to, once the store is open.
    """

    def __init__(self, root: Path, *, reading: bool = False) -> None:
        self.root = root
        self.reading = reading
        self.failure = ""
        self.experiment = ""
        self._client: MlflowClient | None = None
        self._unreachable = False
        self._lock = threading.RLock()  # stages log from several threads; open the store once

    @property
    def exists(self) -> bool:
        """Whether there is a store to read from; opening a missing one would create it."""
        return bool(os.environ.get("MLFLOW_TRACKING_URI")) or (self.root / STORE).exists()

    def attempt(self, use: Callable[["MlflowClient"], T]) -> T | None:
        """Call `use` with a client and return its result; on any error set `failure`, return None.

        A store that did not respond once is not tried again.
        """
        with self._lock:
            if self._unreachable:
                return None
            try:
                client = self._open()
            except Exception as error:
                self._unreachable = True
                return self._fail(error)
            try:
                with _request_settings(_REQUEST):
                    return use(client)
            except Exception as error:
                self._fail(error)
                try:  # find out whether the store is down or only this request failed
                    with _request_settings(_PROBE):
                        client.get_experiment_by_name(EXPERIMENT)
                except Exception:
                    self._unreachable = True
                return None

    def _open(self) -> "MlflowClient":
        """The client; the first call creates missing store and experiment."""
        if self._client is None:
            uri = self.uri
            if uri.startswith("sqlite"):
                _check_sqlite(uri)
            if uri.startswith(("sqlite", "http")):  # these have their own timeouts
                self._client = self._connect(uri)
            else:
                self._client = _with_timeout(_SECONDS_TO_OPEN, lambda: self._connect(uri))
        return self._client

    def _connect(self, uri: str) -> "MlflowClient":
        from mlflow import MlflowClient

        # Silence the log lines about each table created on first use.
        logging.getLogger("alembic").setLevel(logging.WARNING)
        with _request_settings(_PROBE):
            client = MlflowClient(uri)
            experiment = client.get_experiment_by_name(EXPERIMENT)
        local = not os.environ.get("MLFLOW_TRACKING_URI")
        artifacts = (self.root / ARTIFACTS).as_uri() if local else None
        if experiment:
            self.experiment = experiment.experiment_id
            if local and experiment.artifact_location != artifacts:
                _relocate(self.root / STORE, experiment.artifact_location, artifacts)
        elif not self.reading:
            with _request_settings(_REQUEST):
                self.experiment = client.create_experiment(EXPERIMENT, artifacts)
        return client

    @property
    def uri(self) -> str:
        """Tracking URI of the store, which is also that of the model registry."""
        from sqlalchemy import URL

        uri = os.environ.get("MLFLOW_TRACKING_URI")
        if uri:
            return uri
        # A file URI, because a `?` would end a plain path. The explicit driver keeps MLflow from
        # creating a folder of that name.
        database = f"file:{quote(str(self.root / STORE))}"
        url = URL.create("sqlite+pysqlite", database=database, query={"uri": "true"})
        return url.render_as_string()

    @property
    def where(self) -> str:
        """The store in messages, without credentials."""
        uri = os.environ.get("MLFLOW_TRACKING_URI")
        return _CREDENTIALS.sub("//", f"MLflow at {uri}" if uri else f"MLflow, {self.root / STORE}")

    def _fail(self, error: Exception) -> None:
        text = _CREDENTIALS.sub("//", _reason(error))
        self.failure = self.failure or f"{self.where}: {text}"[:400]


@contextmanager
def _request_settings(settings: Mapping[str, str]) -> Iterator[None]:
    """Set MLflow's request variables, which it reads at each request, unless the user set them."""
    variables = {f"MLFLOW_HTTP_REQUEST_{name}": value for name, value in settings.items()}
    variables["MLFLOW_HTTP_RESPECT_RETRY_AFTER_HEADER"] = "false"
    variables = {name: value for name, value in variables.items() if name not in os.environ}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name in variables:
            os.environ.pop(name, None)


def _check_sqlite(uri: str) -> None:
    """Check that an SQLite file can be opened and written; MLflow itself would retry for 100 s.

    Raises:
        sqlite3.Error, ValueError: it cannot be opened or written.
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


# Columns in which MLflow stores where artifacts are, as absolute addresses.
_LOCATIONS = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
)


def _relocate(database: Path, old: str, new: str) -> None:
    """Point a store to its artifacts after the project was moved or copied.

    Otherwise, a copied project would write into the original one.

    Args:
        database: SQLite file of the store.
        old, new: location of the artifacts before and after.
    """
    connection = sqlite3.connect(database, timeout=_SECONDS_LOCKED)
    try:
        with connection:
            for table, column in _LOCATIONS:
                connection.execute(
                    f"UPDATE {table} SET {column} = ? || substr({column}, ?) "
                    f"WHERE {column} = ? OR substr({column}, 1, ?) = ?",
                    (new, len(old) + 1, old, len(old) + 1, f"{old}/"),
                )
    finally:
        connection.close()


def _with_timeout(seconds: float, connect: Callable[[], T]) -> T:
    """Call `connect` and return its result.

    Raises:
        TimeoutError: it takes longer than `seconds`.
    """
    future: Future[T] = Future()

    def work() -> None:
        try:
            future.set_result(connect())
        except BaseException as error:
            # Keep the original context: re-raising in the other thread would overwrite it.
            error.__cause__ = error.__cause__ or error.__context__
            future.set_exception(error)

    # A daemon thread, so that a hanging connection does not keep the process alive.
    threading.Thread(target=work, daemon=True).start()
    begin = time.monotonic()
    try:
        return future.result(seconds)
    except TimeoutError as error:
        if time.monotonic() - begin < seconds:  # raised by `connect` itself
            raise
        raise TimeoutError(f"no answer within {seconds:.0f} s") from error


def _reason(error: BaseException) -> str:
    """The first line of an error, or the system's message if a network error caused it."""
    chain: list[BaseException] = [error]
    while cause := chain[-1].__cause__ or chain[-1].__context__:
        chain.append(cause)
    for link in chain:
        if isinstance(link, (ConnectionError, TimeoutError, socket.gaierror)) and str(link):
            return link.strerror or str(link)
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
