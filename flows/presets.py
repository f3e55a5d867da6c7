"""Presets of `facsimile paper`: values for params.yaml by amount of computation."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from facsimile.errors import FacsimileError
from facsimile.files import atomic_file
from tasks.params import PARAMS

PRESETS: dict[str, dict[str, Any]] = {
    "small": {
        "train": {"seeds": [0, 1, 2]},
        "population": {"faces_each": 20, "balanced": 2560, "unlabelled": 6000},
        "plain": {"per_subject": 4, "per_cell": 12},
        "pretrain": {"steps": 600, "batch_size": 64},
        "trials": {"seeds": [0, 1]},
        "fidelity": {"people": 36, "single_people": 12},
    },
    "full": {
        "train": {"seeds": [0, 1, 2, 3, 4]},
        "population": {"faces_each": 80, "balanced": 40000, "unlabelled": 60000},
        "plain": {"per_subject": 160, "per_cell": 450},
        "pretrain": {"steps": 20000, "batch_size": 512},
        "trials": {"seeds": [0, 1, 2, 3, 4]},
        "fidelity": {"people": 216, "single_people": 128},
    },
}
"""Name → section → values. "small" has those that params.yaml comes with."""


def apply_preset(root: Path, name: str) -> list[str]:
    """Write the values of a preset to params.yaml; comments and all other values stay.

    Returns:
        The changes, one line each.

    Raises:
        FacsimileError: params.yaml is missing or lacks a section of the preset.
    """
    path = root / PARAMS
    yaml = YAML()
    yaml.preserve_quotes = True
    yaml.width = 100
    try:
        params = yaml.load(path.read_text())
    except OSError as error:
        raise FacsimileError(f"{path}: not readable ({error.strerror})") from error
    changes = []
    for section, values in PRESETS[name].items():
        if not isinstance(params.get(section), Mapping):
            raise FacsimileError(f"{path}: no section {section!r}, which preset {name} sets")
        for key, value in values.items():
            if params[section].get(key) != value:
                changes.append(f"{section}.{key}: {params[section].get(key)} → {value}")
                params[section][key] = value
    if changes:
        with atomic_file(path) as temporary, temporary.open("w") as file:
            yaml.dump(params, file)
    return changes
