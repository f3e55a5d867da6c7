"""Predictions of a registered model, from a process of its own; see `flows.model_process`."""

import pickle
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from facsimile.errors import FacsimileError
from flows.supervisor import supervised

if TYPE_CHECKING:
    import pandas as pd

_SCRIPT = Path(__file__).with_name("model_process.py")


class RegisteredModel:
    """A model of the registry, loaded in the context.

    Args:
        uri: any URI that MLflow loads, such as ``models:/name@alias``.
        environment: environment variables of its process, see `ModelRegistry.environment`.

    Attributes:
        metadata: metadata of the model, once it is loaded.

    Raises:
        FacsimileError: the model cannot be loaded.
    """

    def __init__(self, uri: str, environment: Mapping[str, str]) -> None:
        self.uri = uri
        self.environment = environment
        self.metadata: dict[str, Any] = {}

    def __enter__(self) -> "RegisteredModel":
        self._log = tempfile.TemporaryFile()
        # -P keeps flows/ off sys.path, where flows/dvc.py would shadow the package `dvc`.
        command, options = supervised([sys.executable, "-P", str(_SCRIPT), self.uri])
        self._process = subprocess.Popen(
            command,
            env=self.environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            **options,
        )
        try:
            self.metadata = self._receive()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._process.terminate()
        self._process.communicate()
        self._log.close()

    def predict(self, images: Sequence[bytes]) -> "pd.DataFrame":
        """Predictions of aligned faces, see `facsimile.detection.au_model.AUModel.predict`.

        Args:
            images: contents of image files.

        Raises:
            FacsimileError: the process of the model has failed.
        """
        try:
            pickle.dump(list(images), self._process.stdin)
            self._process.stdin.flush()
        except OSError:
            raise FacsimileError(self._reason()) from None
        return self._receive()

    def _receive(self) -> Any:
        try:
            return pickle.load(self._process.stdout)
        except EOFError:
            raise FacsimileError(self._reason()) from None

    def _reason(self) -> str:
        self._process.wait()
        self._log.seek(0)
        lines = self._log.read().decode(errors="replace").strip().splitlines()
        return f"{self.uri}: the model failed: {lines[-1] if lines else 'no message'}"
