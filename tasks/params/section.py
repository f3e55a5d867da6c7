"""A section of params.yaml as a type: an unknown, mistyped or impossible key is an error that names
it.

Each section is one model, in the module of its name. A stage declares the sections it reads as
parameters of its ``run`` (see tasks/shared/stage.py), and dvc.yaml declares the same ones, so that
a change of any re-runs the stage. Batch size, workers and device only change how fast a result is
made. They are options of the command line, not params.
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


def _dataset_name(name: str) -> str:
    """Datasets become folders: a name that leads elsewhere would be written outside of data/."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name):
        raise ValueError(
            f"{name!r} is no name of a dataset: it takes letters, digits, '.', '_' and '-', "
            "and begins with a letter or digit"
        )
    return name


DatasetName = Annotated[str, AfterValidator(_dataset_name)]


def one_of(names: Callable[[], Iterable[str]], kind: str) -> AfterValidator:
    """A validator of text that names an entry of a registry.

    Args:
        names: returns the names in the registry; called for each value.
        kind: what an entry is, with its article, for the error.
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
        FacsimileError: an unreadable file, or keys of the section that are unknown, absent or out
            of range, each of them named.
    """
    try:
        return model.model_validate(read_yaml(path).get(name) or {})
    except ValidationError as error:
        raise FacsimileError(f"{path}: {'; '.join(problems(name, error))}") from error


def read_yaml(path: Path) -> dict[str, Any]:
    """A params file, unchecked.

    Raises:
        FacsimileError: it cannot be read, or is no mapping.
    """
    try:
        values = yaml.safe_load(path.read_text()) or {}
    except (OSError, yaml.YAMLError) as error:
        raise FacsimileError(f"{path}: not a readable YAML file ({error})") from error
    if not isinstance(values, dict):
        raise FacsimileError(f"{path}: not a mapping of sections")
    return values


def problems(section: str, error: ValidationError) -> list[str]:
    """What is wrong with a section, a line for each key."""
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
