"""Base of the typed sections of params.yaml. Unknown keys and invalid values are errors.

Each section is one model, in the module of its name. A stage declares the sections it reads as
parameters of its ``run`` (see tasks/shared/stage.py), and dvc.yaml declares the same sections, so a
change in one of them reruns the stage. Batch size, workers and device only affect speed. They are
command-line options, not params.
"""

import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Annotated, Any, TypeVar

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from facsimile.errors import FacsimileError

PARAMS = Path("params.yaml")

Share = Annotated[float, Field(ge=0, le=1)]


TOTALS = ("faces", "subjects", "rejects", "thinned", "files")
"""Keys of totals, which stand beside the names of datasets in the metrics of stages."""


def _dataset_name(name: str) -> str:
    """Check a dataset name. It becomes a folder name, so it must not lead outside of data/."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name):
        raise ValueError(
            f"{name!r} is not a dataset name: use letters, digits, '.', '_' and '-', and begin "
            "with a letter or digit"
        )
    if name in TOTALS:
        raise ValueError(f"{name!r} is the name of a total in metrics.json: choose another one")
    return name


DatasetName = Annotated[str, AfterValidator(_dataset_name)]


def one_of(names: Callable[[], Iterable[str]], kind: str) -> AfterValidator:
    """A validator for names of registry entries.

    Args:
        names: returns the names in the registry; called for each value.
        kind: noun for an entry, with its article, for the error message.
    """

    def check(name: str) -> str:
        if name not in (known := list(names())):
            raise ValueError(f"{name!r} is not {kind}; allowed: {', '.join(known)}")
        return name

    return AfterValidator(check)


class Section(BaseModel):
    """A part of params.yaml in which an unknown key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)


Model = TypeVar("Model", bound=BaseModel)


def read_section(path: Path, name: str, model: type[Model]) -> Model:
    """One section of a params file, checked.

    Raises:
        FacsimileError: the file is unreadable, or keys of the section are unknown, missing or out
            of range; the message names each of them.
    """
    try:
        return model.model_validate(read_yaml(path).get(name) or {})
    except ValidationError as error:
        raise FacsimileError(f"{path}: {'; '.join(problems(name, error))}") from error


def read_yaml(path: Path) -> dict[str, Any]:
    """A params file, unchecked.

    Raises:
        FacsimileError: the file is unreadable or not a mapping.
    """
    try:
        values = yaml.safe_load(path.read_text()) or {}
    except (OSError, yaml.YAMLError) as error:
        raise FacsimileError(f"{path}: not a readable YAML file ({error})") from error
    if not isinstance(values, dict):
        raise FacsimileError(f"{path}: not a mapping of sections")
    return values


def problems(section: str, error: ValidationError) -> list[str]:
    """The errors in a section, one line per key."""
    return [_problem(section, detail) for detail in error.errors()]


def _problem(section: str, detail: dict[str, Any]) -> str:
    """``edit.intensity: 1.4 is not within 0 < low ≤ high ≤ 1``."""
    # Pydantic adds the branch of a union it tried to the path of the key.
    keys = [str(key) for key in detail["loc"] if "[" not in str(key) and key != "float"]
    where = ".".join([section, *keys])
    if detail["type"] == "extra_forbidden":
        return f"{where}: unknown key"
    if detail["type"] == "missing":
        return f"{where}: missing"
    message = detail["msg"].removeprefix("Value error, ")
    message = message[0].lower() + message[1:]
    if detail["type"] == "value_error":
        return f"{where}: {message}"
    return f"{where}: {message}, found {detail['input']!r}"
