"""The comparison with golden figures: strict on the same CPU, tolerant on others."""

import copy

import pytest
import yaml

from tests.e2e import golden

EXPECTED = yaml.safe_load(golden.GOLDEN.read_text())
ACCEPTED = EXPECTED["stages"]["filter"]["metrics"]["accepted"]


def test_edits_move_pixels_and_codes() -> None:
    """Golden figures of edits say nothing if the generator of the small project ignores z."""
    metrics = EXPECTED["stages"]["evaluate"]["metrics"]
    assert metrics["edit.on_target"] and metrics["edit.off_target"] and metrics["identity.drift"]
    assert metrics["neutralization.residual_before"] != metrics["neutralization.residual_after"]


@pytest.mark.parametrize("same_cpu", [True, False])
@pytest.mark.parametrize(
    ("stage", "table", "name", "value", "line"),
    [
        ("ingest", "world-disfa", "rows", 269, "ingest: world-disfa.rows: 270 → 269"),
        ("transfer", "faces", "sample_id", "0", "transfer: faces.sample_id: "),
        ("encode", "world-disfa", "z", [9.0, 0.2], "encode: world-disfa.z.0: "),
        ("edit", "metrics", "edited", 62, "edit: metrics.edited: 63 → 62"),
        ("filter", "metrics", "accepted", 1, f"filter: metrics.accepted: {ACCEPTED} → 1"),
    ],
)
def test_a_changed_result_is_named(same_cpu, stage, table, name, value, line) -> None:
    found = copy.deepcopy(EXPECTED)
    found["cpu"] = EXPECTED["cpu"] if same_cpu else "another"
    found["stages"][stage][table][name] = value
    lines = golden.differences(EXPECTED, found)
    assert lines and lines[0].startswith(line)


def test_decisions_of_detectors_may_differ_on_another_cpu() -> None:
    found = copy.deepcopy(EXPECTED)
    found["stages"]["filter"]["metrics"]["accepted"] -= 9
    line = f"filter: metrics.accepted: {ACCEPTED} → {ACCEPTED - 9}"
    assert golden.differences(EXPECTED, found) == [line]
    assert golden.differences(EXPECTED, found | {"cpu": "another"}) == []


def test_a_stage_that_left_nothing_is_named() -> None:
    found = copy.deepcopy(EXPECTED)
    del found["stages"]["transfer"]
    assert "transfer: metrics.transferred: 8 → None" in golden.differences(EXPECTED, found)
