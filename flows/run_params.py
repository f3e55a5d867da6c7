"""Params of a run, fixed when it starts.

A stage reads params.yaml when it starts, but DVC records the file when the stage ends. If it is
edited in between, dvc.lock would record params that were not used.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML  # DVC's parser, which reads 1e-3 as a number

from tasks.params import PARAMS, OperationsParams, read_section
from tasks.provenance.dvc_files import leaves, locked_params, locked_stages


def read_operations(root: Path) -> OperationsParams:
    """Section `operations`, or its defaults without a params.yaml.

    Raises:
        FacsimileError: the section is invalid.
    """
    path = root / PARAMS
    if not path.exists():
        return OperationsParams()
    return read_section(path, "operations", OperationsParams)


class RunParams:
    """A snapshot of params.yaml that detects later changes.

    Attributes:
        values: params of all sections by dotted name.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.values = _read(root)

    def changed(self, keys: Sequence[str]) -> str:
        """Differences of the current file in these params and sections; empty if none."""
        return self._difference(_read(self.root), keys)

    def misrecorded(self, stage: str, keys: Sequence[str]) -> str:
        """Differences of the params that dvc.lock records for a stage; empty if none."""
        recorded = locked_params(locked_stages(self.root).get(stage, {}))
        return self._difference(recorded, keys)

    def _difference(self, current: Mapping[str, Any], keys: Sequence[str]) -> str:
        def is_selected(name: str) -> bool:
            return any(name == key or name.startswith(f"{key}.") for key in keys)

        names = sorted(filter(is_selected, self.values.keys() | current.keys()))
        changes = [
            f"{name} {self.values.get(name, 'absent')} → {current.get(name, 'absent')}"
            for name in names
            if self.values.get(name) != current.get(name)
        ]
        return ", ".join(changes)


def _read(root: Path) -> dict[str, Any]:
    path = root / PARAMS
    values = YAML(typ="safe").load(path.read_text()) if path.exists() else None
    return dict(leaves(values or {}))
