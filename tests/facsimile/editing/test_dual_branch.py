"""The dual-branch editor in a linear world where the code of every target face is known."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from facsimile.editing import (
    CausalGraph,
    Change,
    DualBranchEditor,
    DualBranchOptions,
    EditorData,
    SourceFaces,
    load_editor,
    save_editor,
)
from facsimile.editing.calibration import ImageCalibration
from facsimile.editing.dual_branch_training import Pool
from facsimile.editor_options import CalibrationOptions
from facsimile.errors import FacsimileError
from facsimile.faces.aus import AUS
from facsimile.generator import Codes
from tests.facsimile.editing.conftest import Z_DIM, annotated

pytestmark = pytest.mark.slow

SMALL = {
    "levels": 4,
    "width": 32,
    "embedding": 16,
    "lr": 0.01,
    "steps": 200,
    "batch_size": 64,
    "calibration": None,
}
FEW = SMALL | {"steps": 5}


@pytest.fixture(scope="module")
def data(world) -> EditorData:
    z, aus, _, subjects = world.draw(subjects=30, frames=20, seed=0)
    further = world.draw(subjects=60, frames=4, seed=1)
    z_val, aus_val, _, subjects_val = world.draw(subjects=8, frames=20, seed=2)
    return EditorData(
        aus=AUS,
        train=annotated(z, subjects, aus),
        val=annotated(z_val, subjects_val, aus_val),
        neutral=Codes(torch.empty(0, 0)),
        attributes=annotated(further[0], np.char.add("other", further[3])),
        graph=CausalGraph.from_config({"direct": {"AU26": ["AU25"]}}),
        neutralizer=None,
    )


def fit(data: EditorData, generator, **options) -> DualBranchEditor:
    return DualBranchEditor(DualBranchOptions(**SMALL | options)).fit(data, generator)


@pytest.fixture(scope="module")
def fitted(data, generator) -> DualBranchEditor:
    return fit(data, generator)


@pytest.fixture(scope="module")
def pairs(world):
    """Codes, AU levels and target levels of new people, and the exact codes of the targets."""
    z, aus, _, _ = world.draw(subjects=40, frames=2, seed=5)
    target = aus[::-1].copy()
    exact = z + (target - aus) @ world.au_axes
    return tuple(torch.from_numpy(values).float() for values in (z, aus, target, exact))


def distance(a, b) -> float:
    return float((a - b).square().mean())


def edited(editor: DualBranchEditor, z, source, target) -> torch.Tensor:
    return editor.edit_codes(Codes(z), Change(source, target)).z


def test_edits_move_new_people_to_the_code_of_the_target(fitted, pairs):
    z, aus, target, exact = pairs
    unedited = distance(z, exact)
    assert distance(edited(fitted, z, aus, target), exact) < 0.25 * unedited
    # The same with levels of the source that it must estimate.
    assert distance(edited(fitted, z, aus * torch.nan, target), exact) < 0.5 * unedited


@pytest.mark.parametrize("option", ["dual", "label_mapping"])
def test_branches_and_mapping_can_be_switched_off(data, generator, fitted, pairs, option):
    z, aus, target, exact = pairs
    editor = fit(data, generator, **{option: False})
    moved = edited(editor, z, aus, target)
    assert distance(moved, exact) < 0.4 * distance(z, exact)
    assert not torch.allclose(moved, edited(fitted, z, aus, target), atol=1e-3)


def test_aus_without_a_change_leave_the_code_as_it_is(fitted, pairs):
    z, aus, target, _ = pairs
    nothing = torch.full_like(target, torch.nan)
    for source, same in ((aus, aus), (aus, nothing), (nothing, nothing)):
        torch.testing.assert_close(edited(fitted, z, source, same), z, atol=1e-5, rtol=0)
    only = nothing.clone()
    only[:, 0] = target[:, 0]
    rest = torch.where(only.isnan(), aus, only)
    torch.testing.assert_close(edited(fitted, z, aus, only), edited(fitted, z, aus, rest))


def test_levels_between_and_below_the_labels_are_continuous(fitted, pairs):
    z, aus, _, _ = pairs
    zero = torch.zeros_like(aus)
    at = {level: edited(fitted, z, zero, zero + level) for level in (-0.3, 0.0, 0.001, 0.5, 1.0)}
    assert distance(at[0.001], at[0.0]) < 1e-3 * distance(at[1.0], at[0.0])
    assert 0 < distance(at[0.5], at[0.0]) < distance(at[1.0], at[0.0])
    assert torch.isfinite(at[-0.3]).all() and distance(at[-0.3], at[0.0]) > 0


def test_a_reference_gives_its_expression_but_not_its_person(world, fitted, pairs):
    z, aus, _, _ = pairs
    z_ref, aus_ref, _, _ = world.draw(subjects=len(z), frames=1, seed=9)
    reference = torch.from_numpy(z_ref).float()
    change = Change(aus, aus * torch.nan, SourceFaces(Codes(reference)))
    moved = fitted.edit_codes(Codes(z), change).z
    au_axes = torch.from_numpy(world.au_axes).float()
    with_expression = z + (torch.from_numpy(aus_ref).float() - aus) @ au_axes
    assert distance(moved, with_expression) < 0.6 * distance(z, with_expression)
    # What is not expression: far nearer to the person than to the reference.
    outside = torch.eye(Z_DIM) - torch.linalg.pinv(au_axes) @ au_axes
    assert distance(moved @ outside, z @ outside) < 0.5 * distance(z @ outside, reference @ outside)


def test_calibrated_edits_read_like_real_faces(world, data, generator, fitted, monkeypatch):
    draws = torch.Generator().manual_seed(0)
    neutral = Codes(0.1 * torch.randn(4, Z_DIM, generator=draws), torch.zeros(4, 3, 4, 4))
    pixels_to_aus = np.linalg.pinv(generator.map.numpy()) @ np.linalg.pinv(world.au_axes)

    def read(images):
        pixels = images.astype(np.float32).transpose(0, 3, 1, 2) / 127.5 - 1
        return pixels.reshape(len(images), -1) @ pixels_to_aus

    goal = 1.5  # real faces read stronger than codes suggest
    reader = ImageCalibration(
        generator, read, neutral, (1.0, 2.0, 4.0), goal * np.eye(12), np.ones(12)
    )
    monkeypatch.setattr(ImageCalibration, "fit", lambda *_: reader)
    editor = fit(data, generator, calibration=CalibrationOptions())
    none = torch.zeros(4, 12)
    moved = edited(editor, neutral.z, none, torch.eye(12)[:1].expand(4, -1)) - neutral.z
    rise = (moved @ torch.from_numpy(np.linalg.pinv(world.au_axes)).float()).mean(0)
    assert rise[0] == pytest.approx(goal, abs=0.25)
    assert editor.report()["gain"].tolist() == pytest.approx(editor.gains_.tolist())
    assert editor.metrics()["gain"] > 1.2 > 1 == fitted.gains_.max()


def test_the_same_seed_gives_the_same_editor(data, generator, pairs):
    state = torch.random.get_rng_state()
    z, aus, target, _ = pairs
    first, again, other = (
        edited(fit(data, generator, **FEW, seed=seed), z, aus, target) for seed in (0, 0, 1)
    )
    assert torch.equal(first, again) and not torch.equal(first, other)
    assert torch.equal(torch.random.get_rng_state(), state)


def test_a_saved_editor_edits_alike(fitted, pairs, tmp_path):
    save_editor(fitted, tmp_path)
    loaded = load_editor(tmp_path)
    z, aus, target, _ = pairs
    assert torch.equal(edited(loaded, z, aus, target), edited(fitted, z, aus, target))
    assert loaded.digest == fitted.digest and loaded.aus == AUS and loaded.z_dim == Z_DIM
    assert loaded.entailed("AU26") == ("AU25",) and loaded.entailed("AU25") == ()
    assert loaded.metrics() == fitted.metrics()
    pd.testing.assert_frame_equal(loaded.report(), fitted.report(), check_dtype=False)


def test_a_broken_file_is_an_error(fitted, tmp_path):
    save_editor(fitted, tmp_path)
    path = tmp_path / fitted.file
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(FacsimileError, match="not a dual-branch editor"):
        load_editor(tmp_path)


def test_report_has_a_row_per_au(fitted):
    report = fitted.report()
    assert report["AU"].tolist() == list(AUS)
    assert report["r on unseen people"].mean() > 0.7
    metrics = fitted.metrics()
    assert metrics["code_mse"] < 0.5 * metrics["code_mse_unedited"]
    assert 0 < metrics["a_error"] < 0.15 and 0 < metrics["c_error"] < 0.3


def test_unannotated_aus_are_left_out_of_the_losses(data, generator, pairs):
    z, aus, target, exact = pairs
    labels = data.train.aus.copy()
    labels[::2, :6] = np.nan
    editor = fit(replace(data, train=replace(data.train, aus=labels)), generator)
    assert distance(edited(editor, z, aus, target), exact) < 0.4 * distance(z, exact)


def test_aus_that_were_not_learnt_must_not_change(data, generator, pairs):
    z, aus, target, _ = pairs
    editor = fit(replace(data, aus=AUS[:2]), generator, **FEW)
    kept = target.clone()
    kept[:, 2:] = aus[:, 2:]
    edited(editor, z, aus, kept)
    with pytest.raises(FacsimileError, match="cannot edit AU04"):
        edited(editor, z, aus, target)


def test_one_person_is_not_enough(data, generator):
    alone = np.full(len(data.train.subjects), "S000")
    few = replace(
        data,
        train=replace(data.train, subjects=alone),
        attributes=annotated(np.empty((0, Z_DIM)), []),
    )
    with pytest.raises(FacsimileError, match="one person"):
        fit(few, generator, **FEW)


def test_targets_show_the_same_person_and_random_faces_another():
    subjects = np.array(["b", "a", "b", "c", "a", "b"])
    z = np.arange(6.0)[:, None]
    others = np.array(["x", "y", "x"])
    pool = Pool.gather(
        (z, subjects), z, (10 + np.arange(3.0)[:, None], others), torch.device("cpu")
    )
    person = dict(zip([*z[:, 0], 10.0, 11.0, 12.0], [*subjects, *others], strict=True))
    assert torch.equal(pool.z[:6], pool.labels)
    source, target, random = (
        [person[value] for value in pool.z[rows, 0].tolist()] for rows in pool.rows(500)
    )
    assert source == target
    assert not any(a == b for a, b in zip(source, random, strict=True))
    assert set(source) == {"a", "b", "c"} and set(random) == {"a", "b", "c", "x", "y"}
