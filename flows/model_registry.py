"""The model registry: versions of the detectors, their aliases and the decisions about them.

All versions are of one registered model, `MODEL`, in the MLflow store of the project. Alias
`challenger` is the newest version, `champion` the one in use. Tags of a version record the decision
about it.
"""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from facsimile.errors import FacsimileError
from flows import state_folder
from flows.mlflow_store import MLflowStore

if TYPE_CHECKING:
    from mlflow import MlflowClient

MODEL = "facsimile-au-detectors"
CHAMPION, CHALLENGER = "champion", "challenger"

# Tags of versions.
CONTENT = "facsimile.content"
DECISION = "facsimile.decision"
REASON = "facsimile.decision.reason"
DECIDED_AT = "facsimile.decision.time"
PREVIOUS = "facsimile.previous_champion"

PROMOTED, REFUSED, ROLLED_BACK = "promoted", "refused", "rolled back"

_TAG_LENGTH = 5000  # limit of MLflow

T = TypeVar("T")


@dataclass(frozen=True)
class RegisteredVersion:
    """A version of the detectors.

    Attributes:
        number: counts from 1.
        run: id of the MLflow run that holds its files.
        aliases: ``champion``, ``challenger``, both or neither.
        tags: all tags, see `flows.registration` for those that describe the detectors.
    """

    number: int
    run: str
    aliases: tuple[str, ...]
    tags: Mapping[str, str]

    @property
    def uri(self) -> str:
        return f"models:/{MODEL}/{self.number}"

    def __str__(self) -> str:
        return f"version {self.number}"


class ModelRegistry:
    """The versions in the store of a project.

    Methods raise FacsimileError if the store does not respond.
    """

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()
        self.store = MLflowStore(self.root)

    def use(self, call: Callable[["MlflowClient"], T]) -> T:
        """Call with a client.

        Raises:
            FacsimileError: the store does not respond, or the call failed.
        """
        result = self.store.attempt(call)
        if self.store.failure:
            raise FacsimileError(self.store.failure)
        return result

    @property
    def environment(self) -> dict[str, str]:
        """Environment variables of processes that load models from the registry."""
        variables = {"MLFLOW_TRACKING_URI": self.store.uri, "MLFLOW_REGISTRY_URI": self.store.uri}
        return os.environ | state_folder.user_environment(self.root) | variables

    def versions(self) -> list[RegisteredVersion]:
        """All versions, newest first."""

        def read(client: "MlflowClient") -> list[RegisteredVersion]:
            models = client.search_registered_models(f"name = '{MODEL}'")
            if not models:
                return []
            aliases = {alias: int(number) for alias, number in models[0].aliases.items()}
            found, token = [], None
            while True:
                page = client.search_model_versions(f"name = '{MODEL}'", page_token=token)
                found += page
                token = page.token
                if not token:
                    break
            numbers = sorted(((int(version.version), version) for version in found), reverse=True)
            return [
                RegisteredVersion(
                    number,
                    version.run_id,
                    tuple(sorted(alias for alias, holder in aliases.items() if holder == number)),
                    version.tags,
                )
                for number, version in numbers
            ]

        return self.use(read) if self.store.exists else []

    def find(self, name: str) -> RegisteredVersion | None:
        """The version with an alias or a number; None if there is none."""
        for version in self.versions():
            if name in version.aliases or name == str(version.number):
                return version
        return None

    def require(self, name: str) -> RegisteredVersion:
        """The version with an alias or a number. Raises FacsimileError if there is none."""
        found = self.find(name)
        if found is None:
            raise FacsimileError(
                f"{self.store.where}: {MODEL} has no version {name!r}; `facsimile models` lists "
                "them, `facsimile register` adds one"
            )
        return found

    def set_champion(self, version: RegisteredVersion, reason: str) -> None:
        """Make a version the champion and record why."""
        previous = self.find(CHAMPION)
        tags = {PREVIOUS: str(previous.number)} if previous else {}
        self.record(version, PROMOTED, reason, tags)
        self.use(
            lambda client: client.set_registered_model_alias(MODEL, CHAMPION, str(version.number))
        )

    def record(
        self,
        version: RegisteredVersion,
        decision: str,
        reason: str,
        tags: Mapping[str, str] | None = None,
    ) -> None:
        """Record a decision in the tags of a version."""
        time = datetime.now(UTC).isoformat(timespec="seconds")
        values = {
            DECISION: decision,
            REASON: reason[:_TAG_LENGTH],
            DECIDED_AT: time,
            **(tags or {}),
        }

        def write(client: "MlflowClient") -> None:
            for key, value in values.items():
                client.set_model_version_tag(MODEL, str(version.number), key, value)

        self.use(write)

    def roll_back(self) -> tuple[RegisteredVersion, RegisteredVersion]:
        """Make the previous champion the champion again.

        Returns:
            The champion that was replaced, and the one that is back.

        Raises:
            FacsimileError: there is no champion, or it had no predecessor.
        """
        champion = self.require(CHAMPION)
        number = champion.tags.get(PREVIOUS)
        if not number:
            raise FacsimileError(f"{champion} is the first champion: nothing to roll back to")
        previous = self.require(number)
        self.record(champion, ROLLED_BACK, f"{previous} is the champion again")
        self.use(
            lambda client: client.set_registered_model_alias(MODEL, CHAMPION, str(previous.number))
        )
        return champion, previous
