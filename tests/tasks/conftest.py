"""A params file that is valid, to be broken by tests."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.paper_results import correlations, counts, edit_tables

__all__ = ["correlations", "counts", "edit_tables"]

ROOT = Path(__file__).parents[2]


@pytest.fixture
def write_params(tmp_path: Path) -> Callable[..., Path]:
    """Writes the project's params.yaml with some keys changed, given as ``section.key``."""

    def write(changes: dict[str, Any] | None = None) -> Path:
        values = yaml.safe_load((ROOT / "params.yaml").read_text())
        for key, value in (changes or {}).items():
            *parents, last = key.split(".")
            section = values
            for parent in parents:
                section = section.setdefault(parent, {})
            if value is None:
                del section[last]
            else:
                section[last] = value
        path = tmp_path / "params.yaml"
        path.write_text(yaml.safe_dump(values))
        return path

    return write
