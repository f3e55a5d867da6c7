"""Presets of `facsimile paper`."""

from pathlib import Path

import pytest
import yaml

from facsimile.errors import FacsimileError
from flows.presets import PRESETS, apply_preset
from tasks.params import read_params

ROOT = Path(__file__).parents[2]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "params.yaml").write_text((ROOT / "params.yaml").read_text())
    return tmp_path


def test_params_come_with_the_small_preset(root: Path) -> None:
    before = (root / "params.yaml").read_text()
    assert apply_preset(root, "small") == []
    assert (root / "params.yaml").read_text() == before


def test_a_preset_sets_its_values_and_keeps_all_else(root: Path) -> None:
    before = yaml.safe_load((root / "params.yaml").read_text())
    changes = apply_preset(root, "full")
    assert "trials.seeds: [0, 1] → [0, 1, 2, 3, 4]" in changes
    after = yaml.safe_load((root / "params.yaml").read_text())
    for section, values in PRESETS["full"].items():
        assert after[section] == before[section] | values
    assert {name: after[name] for name in after if name not in PRESETS["full"]} == {
        name: before[name] for name in before if name not in PRESETS["full"]
    }
    assert "# annotated for AUs" in (root / "params.yaml").read_text()
    read_params(root / "params.yaml")  # valid
    apply_preset(root, "small")
    assert yaml.safe_load((root / "params.yaml").read_text()) == before


def test_a_project_without_a_section_is_told(root: Path) -> None:
    (root / "params.yaml").write_text("train: {seeds: [0]}\n")
    with pytest.raises(FacsimileError, match="no section 'population', which preset full sets"):
        apply_preset(root, "full")
