"""Picture editors in a world where two AUs are the brightness of two squares.

One square is above the other, because training mirrors pictures.
"""

import numpy as np
import pytest
import torch

from facsimile.editing import (
    AbsoluteEditor,
    AnnotatedFaces,
    CausalGraph,
    Change,
    EditorData,
    Neutralizer,
    RelativeEditor,
    SourceFaces,
    interpolate,
    load_editor,
    save_editor,
)
from facsimile.editing.picture_gan import Critic, EditingNetwork
from facsimile.editing.picture_gan_training import draw_targets, total_variation
from facsimile.editor_options import AbsoluteOptions, RelativeOptions
from facsimile.errors import FacsimileError
from facsimile.faces.aus import AUS
from facsimile.faces.tables import to_tensor
from facsimile.generator import Codes

SIZE = 16
SQUARES = {"AU04": (slice(1, 7), slice(4, 12)), "AU26": (slice(9, 15), slice(4, 12))}
COLUMNS = [AUS.index(au) for au in SQUARES]
GRAPH = CausalGraph.from_config({"direct": {"AU26": ["AU04", "AU12"]}})
TINY = {"batch_size": 8, "width": 4, "critic_width": 8, "critic_steps": 1}


class PixelGenerator:
    """A generator whose codes are pixels."""

    z_dim = 3 * SIZE * SIZE
    image_size = SIZE
    device = torch.device("cpu")
    digest = "p" * 32

    def encode(self, images: torch.Tensor) -> Codes:
        return Codes(images.flatten(1))


def squares(count: int, seed: int) -> AnnotatedFaces:
    """Grey pictures with two squares, brighter with their AU."""
    rng = np.random.default_rng(seed)
    aus = np.zeros((count, len(AUS)))
    aus[:, COLUMNS] = rng.random((count, 2)) * rng.integers(0, 2, (count, 2))
    images = rng.integers(90, 110, (count, SIZE, SIZE, 3)).astype(np.uint8)
    for au, (rows, columns) in SQUARES.items():
        level = np.rint(140 * aus[:, AUS.index(au)]).astype(np.uint8)
        images[:, rows, columns] += level[:, None, None, None]
    return AnnotatedFaces(
        Codes(torch.zeros(count, 1)), aus, np.zeros((count, 4)), np.arange(count), lambda: images
    )


def world(train: AnnotatedFaces) -> EditorData:
    val = squares(40, seed=1)
    return EditorData(
        tuple(SQUARES), train, val, Codes(torch.empty(0, 0)), val, GRAPH, Neutralizer(1, 4)
    )


def fitted(kind=RelativeEditor, options=RelativeOptions, steps=3, **changes):
    return kind(options(steps=steps, **TINY, **changes)).fit(
        world(squares(120, seed=0)), PixelGenerator()
    )


def raised(au: str, level: float, count: int) -> Change:
    target = torch.zeros(count, len(AUS))
    target[:, AUS.index(au)] = level
    return Change.of_neutral(target)


def brightening(editor, au: str) -> dict[str, float]:
    """Mean brightening of each square when `au` rises on dark squares, less that of no edit."""
    faces = squares(40, seed=2)
    dark = to_tensor(faces.read_images()[~faces.aus.any(1)])
    edited = editor.edit_pictures(dark, raised(au, 1.0, len(dark)))
    same = editor.edit_pictures(dark, raised(au, 0.0, len(dark)))
    return {name: float((edited - same)[:, :, *place].mean()) for name, place in SQUARES.items()}


@pytest.fixture(scope="module")
def relative():
    return fitted()


@pytest.fixture(scope="module")
def trained():
    return {
        kind.name: fitted(kind, options, steps=60, lr=3e-3)
        for kind, options in ((RelativeEditor, RelativeOptions), (AbsoluteEditor, AbsoluteOptions))
    }


@pytest.mark.slow
@pytest.mark.parametrize("name", ["relative", "absolute"])
def test_the_square_of_the_edited_au_brightens(trained, name):
    for au in SQUARES:
        rises = brightening(trained[name], au)
        assert rises.pop(au) > max(0.02, *rises.values())


@pytest.mark.slow
def test_without_a_change_relative_levels_keep_pictures_best(trained):
    losses = {name: editor.metrics()["reconstruction_l1"] for name, editor in trained.items()}
    assert losses["relative"] < losses["absolute"]
    images = to_tensor(squares(40, seed=2).read_images())
    same, risen = (
        trained["relative"].edit_pictures(images, raised("AU04", level, 40)) - images
        for level in (0.0, 1.0)
    )
    assert same.abs().mean() < risen.abs().mean()


def test_training_depends_only_on_the_seed(relative):
    change = raised("AU04", 1.0, 40)
    images = to_tensor(squares(40, seed=2).read_images())
    torch.manual_seed(99)
    again = fitted().edit_pictures(images, change)
    assert torch.equal(again, relative.edit_pictures(images, change))
    other = fitted(seed=1).edit_pictures(images, change)
    assert not torch.allclose(again, other)


def test_a_saved_editor_edits_alike(relative, tmp_path):
    save_editor(relative, tmp_path)
    loaded = load_editor(tmp_path)
    assert isinstance(loaded, RelativeEditor) and loaded.digest == relative.digest
    assert loaded.aus == tuple(SQUARES) and loaded.image_size == SIZE
    # AU12 is an effect too, but not an AU that the editor knows.
    assert loaded.entailed("AU26") == ("AU04",) and loaded.entailed("AU04") == ()
    images = to_tensor(squares(5, seed=2).read_images())
    change = raised("AU26", 0.7, 5)
    faces = SourceFaces(Codes(torch.zeros(5, 1)), images)
    edits = [editor.edit(faces, change, PixelGenerator()) for editor in (relative, loaded)]
    assert torch.equal(edits[0].images, edits[1].images)
    assert torch.equal(edits[0].z, edits[0].images.flatten(1))
    assert edits[0].images.abs().max() <= 1


def test_a_broken_file_is_named(relative, tmp_path):
    save_editor(relative, tmp_path)
    path = tmp_path / RelativeEditor.file
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(FacsimileError, match="not a network of the editor relative"):
        load_editor(tmp_path)


def test_references_and_unknown_aus_are_refused(relative):
    images = to_tensor(squares(2, seed=2).read_images())
    neutral = torch.zeros(2, len(AUS))
    with pytest.raises(FacsimileError, match="not a reference"):
        relative.edit_pictures(images, Change(neutral, neutral, SourceFaces(Codes(neutral))))
    with pytest.raises(FacsimileError, match="cannot edit AU12"):
        relative.edit_pictures(images, raised("AU12", 0.5, 2))


def test_aus_left_as_they_are_and_rises_out_of_range(relative):
    images = to_tensor(squares(2, seed=2).read_images())
    source = torch.full((2, len(AUS)), 0.5)
    kept = torch.full_like(source, torch.nan)
    zero = relative.edit_pictures(images, Change(source, source))
    assert torch.equal(relative.edit_pictures(images, Change(source, kept)), zero)
    most, beyond = (
        relative.edit_pictures(images, raised("AU04", level, 2)) for level in (1.0, 3.0)
    )
    assert torch.equal(most, beyond) and not torch.equal(most, zero)


def test_quality_is_measured_on_validation_people(relative):
    assert set(relative.metrics()) == {
        "reading_pearson",
        "reading_error",
        "edit_error",
        "reconstruction_l1",
        "cycle_l1",
    }
    assert all(np.isfinite(value) for value in relative.metrics().values())
    assert list(relative.report()["AU"]) == list(SQUARES)


def test_unannotated_levels_are_left_out():
    train = squares(60, seed=0)
    train.aus[:30, COLUMNS[0]] = np.nan
    for kind, options in ((RelativeEditor, RelativeOptions), (AbsoluteEditor, AbsoluteOptions)):
        editor = kind(options(steps=2, **TINY)).fit(world(train), PixelGenerator())
        assert all(weights.isfinite().all() for weights in editor.network_.parameters())


def test_targets_are_labels_of_others_or_change_a_few_aus():
    labels = torch.linspace(0, 1, 50)[:, None].expand(50, 12).contiguous()
    source = torch.full((400, 12), 2.0)
    source[:, 0] = torch.nan
    targets = draw_targets(source, labels, torch.Generator().manual_seed(0))
    assert targets[:, 0].isnan().all()
    kept = (targets == 2.0)[:, 1:].sum(1)
    copied = kept == 0
    assert 150 < copied.sum() < 250
    assert (targets[copied, 1:] == targets[copied, 1:2]).all()
    # 1 to 6 of 12 AUs change, and perhaps the one with an unknown level.
    assert set(kept[~copied].tolist()) == set(range(5, 12))


@pytest.mark.parametrize(("fusion", "attention"), [(False, False), (True, True)])
def test_the_network_sees_its_condition(fusion, attention):
    torch.manual_seed(0)
    network = EditingNetwork(2, 64, width=2, fusion=fusion, attention=attention)
    torch.nn.init.normal_(network.last.weight)
    assert bool(len(network.fusions)) == fusion
    images = torch.rand(2, 3, 64, 64) * 2 - 1
    zero, one = (network(images, torch.full((2, 2), level)) for level in (0.0, 1.0))
    assert zero[0].shape == images.shape and not torch.allclose(zero[0], one[0])
    assert (zero[1] is not None) == attention
    assert Critic(2, 64, width=2)(images)[1].shape == (2, 2)


def test_pictures_must_be_divisible():
    with pytest.raises(FacsimileError, match="cannot be halved 2 times"):
        EditingNetwork(2, 18, 4, fusion=True, attention=False)


def test_variation_of_a_step():
    image = torch.zeros(1, 1, 2, 3)
    image[..., 2] = 1.0
    assert total_variation(image) == 2.0


def test_interpolation_leads_from_one_expression_to_the_other():
    source, first, second = (torch.full((1, 12), level) for level in (0.2, 0.4, 1.0))
    assert torch.allclose(interpolate(source, first, second, 0.0).relative, first - source)
    # v_1 + α (v_2 - v_1) - v_src
    assert torch.allclose(
        interpolate(source, first, second, 0.5).relative, torch.full((1, 12), 0.5)
    )
    with pytest.raises(FacsimileError, match="between 0 and 1"):
        interpolate(source, first, second, 1.5)
