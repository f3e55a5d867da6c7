"""The params of a run: those that params.yaml had when it began.

A stage reads params.yaml when it starts, and DVC records it when the stage has ended. Edited in
between, dvc.lock would claim params that the result was not made with.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML  # DVC's own: it reads 1e-3 as a number

from tasks.params import PARAMS
from tasks.provenance.dvc_files import leaves, locked_params, locked_stages


class RunParams:
    """params.yaml as it is now, to tell whether it has changed since.

    Attributes:
        values: params of all sections by dotted name.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.values = _read(root)

    def changed(self, keys: Sequence[str]) -> str:
        """What is different in the file now, of these params and sections; empty if nothing is."""
        return self._difference(_read(self.root), keys)

    def misrecorded(self, stage: str, keys: Sequence[str]) -> str:
        """What is different in what dvc.lock records of a stage; empty if nothing is."""
        recorded = locked_params(locked_stages(self.root).get(stage, {}))
        return self._difference(recorded, keys)

    def _difference(self, now: Mapping[str, Any], keys: Sequence[str]) -> str:
        def concerned(name: str) -> bool:
            return any(name == key or name.startswith(f"{key}.") for key in keys)

        names = sorted(filter(concerned, self.values.keys() | now.keys()))
        changes = [
            f"{name} {self.values.get(name, 'absent')} → {now.get(name, 'absent')}"
            for name in names
            if self.values.get(name) != now.get(name)
        ]
        return ", ".join(changes)


def _read(root: Path) -> dict[str, Any]:
    path = root / PARAMS
    values = YAML(typ="safe").load(path.read_text()) if path.exists() else None
    return dict(leaves(values or {}))
