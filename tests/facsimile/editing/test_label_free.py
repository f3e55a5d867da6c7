"""The label-free editor on the linear world, where true expressions are known."""

from pathlib import Path

import numpy as np
import pytest
import torch

from facsimile.editing import (
    Change,
    EditorData,
    LabelFreeEditor,
    LabelFreeOptions,
    NeutralizerTraining,
    SourceFaces,
    label_free,
)
from facsimile.editing.causal_graph import CausalGraph
from facsimile.editing.label_free_networks import Extractor, Interpolator
from facsimile.editing.neutralization import neutralize
from facsimile.editing.registry import load_editor, save_editor
from facsimile.errors import FacsimileError
from facsimile.faces.aus import AUS
from facsimile.generator import Codes
from tests.facsimile.editing.conftest import annotated

GRAPH = CausalGraph.from_config({"direct": {"AU26": ["AU25"]}})
OPTIONS = LabelFreeOptions(steps=300, faces=200, width=64, lr=1e-3)


@pytest.fixture(scope="module")
def data(world) -> EditorData:
    z, aus, nuisances, subjects = world.draw(subjects=20, frames=30, seed=0)
    labels = np.concatenate([aus, nuisances], axis=1)
    training = NeutralizerTraining(seed=0, width=32, dropout=0.0, max_epochs=60)
    neutralizer = training.run(z, labels, z, labels)
    faces = annotated(z.astype(np.float32), subjects, aus, nuisances)
    return EditorData(AUS, faces, faces, Codes(torch.empty(0, 0)), faces, GRAPH, neutralizer)


@pytest.fixture(scope="module")
def editor(data, generator) -> LabelFreeEditor:
    return LabelFreeEditor(OPTIONS).fit(data, generator)


@pytest.fixture
def people(world):
    """Codes, AUs and subjects of new people."""
    z, aus, _, _ = world.draw(subjects=30, frames=1, seed=9)
    return torch.from_numpy(z.astype(np.float32)), aus


def shown(world, moved: np.ndarray) -> np.ndarray:
    """AUs (N, 12) that changes of codes (N, D) show."""
    return moved @ np.linalg.pinv(np.concatenate([world.au_axes, world.nuisance_axes]))[:, :12]


def neutral(world, z: torch.Tensor, aus: np.ndarray) -> Codes:
    return Codes(z - torch.from_numpy(aus @ world.au_axes).float())


def test_networks_start_as_difference_and_sum() -> None:
    face, rest = torch.randn(2, 5, 8)
    assert torch.equal(Extractor(8, 4)(face, rest), face - rest)
    assert torch.equal(Interpolator(8, 4)(rest, face), rest + face)


def test_levels_are_reached_by_the_training_face_that_fits_best(world, editor, people) -> None:
    z, aus = people
    codes = neutral(world, z, aus)
    rows = torch.arange(len(codes)) % len(editor.levels_)
    target = editor.levels_[rows]
    moved = editor.edit_codes(codes, Change.of_neutral(target)).z - codes.z
    found = shown(world, moved.numpy())
    active = target.numpy() > 0.4
    assert found[active].mean() > 0.2 + np.abs(found[~active]).mean()
    assert np.corrcoef(found.ravel(), target.numpy().ravel())[0, 1] > 0.7


def test_the_expression_of_a_reference_is_copied_not_the_person(world, editor, people) -> None:
    z, aus = people
    codes = neutral(world, z, aus)
    references = Codes(z.roll(1, 0))
    nothing = torch.zeros(len(z), 12)
    change = Change(nothing, nothing, SourceFaces(references))
    moved = editor.edit_codes(codes, change).z - codes.z
    wanted = np.roll(aus, 1, axis=0)
    assert np.corrcoef(shown(world, moved.numpy()).ravel(), wanted.ravel())[0, 1] > 0.5
    assert moved.norm(dim=1).mean() < 0.8 * (references.z - codes.z).norm(dim=1).mean()


def test_a_neutral_face_stays_as_it_is_without_a_change(editor, world, people) -> None:
    z, aus = people
    codes = neutral(world, z, aus)
    same = editor.edit_codes(codes, Change.of_neutral(torch.zeros(len(z), 12)))
    full = editor.edit_codes(codes, Change.of_neutral(torch.ones(len(z), 12)))
    assert (same.z - codes.z).norm() < 0.5 * (full.z - codes.z).norm()


def test_the_same_seed_gives_the_same_editor(data, generator, editor, people) -> None:
    again = LabelFreeEditor(OPTIONS).fit(data, generator)
    change = Change.of_neutral(torch.full((30, 12), 0.5))
    codes = Codes(people[0])
    torch.testing.assert_close(
        again.edit_codes(codes, change).z, editor.edit_codes(codes, change).z
    )


def test_edits_do_not_depend_on_the_batch(editor, people) -> None:
    change = Change.of_neutral(torch.eye(12).repeat(3, 1)[:30])
    whole = editor.edit_codes(Codes(people[0]), change).z
    parts = [
        editor.edit_codes(Codes(people[0][rows]), Change.of_neutral(change.target[rows])).z
        for rows in (slice(0, 7), slice(7, 30))
    ]
    torch.testing.assert_close(torch.cat(parts), whole, atol=1e-4, rtol=1e-4)


def test_a_face_is_neutralized_only_once(editor, people, monkeypatch) -> None:
    neutralized = []

    def count(model, z):
        neutralized.append(len(z))
        return neutralize(model, z)

    monkeypatch.setattr(label_free, "neutralize", count)
    monkeypatch.setattr(editor, "_neutral_of", {})
    first = editor._neutral(people[0][:3])
    again = editor._neutral(people[0][[2, 0, 4]])
    assert neutralized == [3, 1]
    torch.testing.assert_close(again[:2], first[[2, 0]], rtol=0, atol=0)
    monkeypatch.setattr(label_free, "_REMEMBERED", 2)
    editor._neutral(people[0][5:8])
    assert len(editor._neutral_of) == 2


def test_a_saved_editor_edits_alike(editor, people, tmp_path: Path) -> None:
    save_editor(editor, tmp_path)
    loaded = load_editor(tmp_path)
    change = Change.of_neutral(torch.full((30, 12), 0.5))
    codes = Codes(people[0])
    torch.testing.assert_close(
        loaded.edit_codes(codes, change).z, editor.edit_codes(codes, change).z
    )
    assert loaded.metrics() == editor.metrics() and loaded.report().equals(editor.report())
    assert loaded.digest == editor.digest and loaded.entailed("AU26") == ("AU25",)
    (tmp_path / loaded.file).write_bytes(b"junk")
    with pytest.raises(FacsimileError, match="not a label-free editor"):
        load_editor(tmp_path)


def test_an_au_without_labels_is_refused(world, data, generator) -> None:
    few = EditorData(
        ("AU04", "AU12"), data.train, data.val, data.neutral, data.attributes, GRAPH,
        data.neutralizer,
    )  # fmt: skip
    fitted = LabelFreeEditor(OPTIONS.model_copy(update={"steps": 2})).fit(few, generator)
    target = torch.zeros(1, 12)
    target[0, AUS.index("AU26")] = 1
    with pytest.raises(FacsimileError, match="label-free knows only AU04, AU12"):
        fitted.edit_codes(Codes(torch.zeros(1, fitted.z_dim)), Change.of_neutral(target))
