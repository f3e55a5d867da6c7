"""Projects in a folder of their own, with the params of this one and some changes."""

import copy
import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]


@functools.cache
def _read_params() -> dict[str, Any]:
    return yaml.safe_load((ROOT / "params.yaml").read_text())


def write_params(folder: Path, changes: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Write ``params.yaml`` with some keys of its sections changed.

    Args:
        folder: root of the project.
        changes: section → key → value.

    Returns:
        All that is written.
    """
    params = copy.deepcopy(_read_params())
    for section, values in changes.items():
        params[section] |= values
    (folder / "params.yaml").write_text(yaml.safe_dump(params))
    return params
