"""The neutralization model: masked losses, stopping rules, and what neutralizing does to a face."""

import numpy as np
import pytest
import torch

from facsimile.editing import Neutralizer, NeutralizerTraining, neutralize
from facsimile.editing.neutralizer import AGE, BINARY
from facsimile.editing.neutralizer_training import attribute_losses, recall_precision
from facsimile.errors import FacsimileError
from facsimile.faces.aus import AUS, NUISANCES

pytestmark = pytest.mark.slow


def labels(aus=None, nuisances=None):
    n = len(aus) if aus is not None else len(nuisances)
    aus = np.full((n, len(AUS)), np.nan) if aus is None else aus
    nuisances = np.full((n, len(NUISANCES)), np.nan) if nuisances is None else nuisances
    return np.hstack([aus, nuisances])


@pytest.fixture(scope="module")
def data(world):
    """AU labels and nuisance labels on different faces, as DISFA and CelebA have them."""
    z, aus, _, _ = world.draw(subjects=60, frames=20, seed=0)
    z_nuisance, _, nuisances, _ = world.draw(subjects=800, frames=1, seed=1)
    z_val, aus_val, _, _ = world.draw(subjects=15, frames=20, seed=2)
    return {
        "z_train": np.vstack([z, z_nuisance]),
        "labels_train": np.vstack([labels(aus=aus), labels(nuisances=nuisances)]),
        "z_val": z_val,
        "labels_val": labels(aus=aus_val),
        "seed": 3,
        "width": 128,
    }


def train(z_train, labels_train, z_val, labels_val, **options):
    return NeutralizerTraining(**options).run(z_train, labels_train, z_val, labels_val)


@pytest.fixture(scope="module")
def trained(data):
    return train(**data)


def test_losses_against_hand_worked_values():
    aus, static = torch.zeros(2, 12), torch.zeros(2, 4)
    aus[0, 0], static[0, 3] = 0.5, 0.25
    y = torch.full((2, 16), torch.nan)
    y[0, 0], y[1, 1] = 1.0, 0.1  # AUs: ((0.5)² + 0.1²) / 2 entries × 12 attributes
    y[0, 12] = 1.0  # eyeglasses at logit 0: ln 2 × 3 attributes
    y[0, 15] = 0.75  # age: 0.5²
    au, binary, age = attribute_losses((aus, static), y)
    assert au.item() == pytest.approx(12 * 0.26 / 2)
    assert binary.item() == pytest.approx(3 * np.log(2))
    assert age.item() == pytest.approx(0.25)


def test_a_batch_without_labels_of_a_kind_has_a_finite_gradient():
    model = Neutralizer(8, width=16)
    loss = sum(attribute_losses(model(torch.randn(3, 8)), torch.full((3, 16), torch.nan)))
    loss.backward()
    assert loss.item() == 0
    assert all(torch.isfinite(p.grad).all() for p in model.parameters())


def test_recall_and_precision_pool_annotated_entries():
    y = torch.tensor([[0.1, 0.5, 0.0], [torch.nan, 0.05, 0.9]])
    prediction = torch.tensor([[0.2, 0.05, 0.3], [0.9, 0.0, 0.1]])
    assert recall_precision(prediction, y) == (2 / 3, 2 / 3)


def test_every_attribute_has_a_layer_of_its_own():
    model = Neutralizer(8, width=16).eval()
    z = torch.randn(5, 8)
    aus, static = model(z)
    with torch.no_grad():
        model.dynamic.own.weight[16 * 2 : 16 * 3] += 1.0  # the layer of the third AU
    changed_aus, changed_static = model(z)
    moved = (changed_aus - aus).abs().amax(0) > 0
    assert moved.tolist() == [index == 2 for index in range(12)]
    assert torch.equal(changed_static, static)


def test_training_finds_active_aus_of_new_people(trained):
    history = trained.history_
    assert history["recall"].max() > 0.8
    assert history["recall"].iloc[-1] > 0.75
    assert history["val_au_loss"].iloc[-1] < 0.5 * history["val_au_loss"].iloc[0]
    # It stopped for want of improvement, fifteen epochs after the best one.
    assert len(history) - 1 - history["recall"].argmax() == 15


def test_reporting_everything_active_is_not_recall(data):
    """Labels all but constant: no epoch beats the training means, so none counts for recall."""
    y = data["labels_train"].copy()
    y[:, : len(AUS)] = np.where(np.isnan(y[:, : len(AUS)]), np.nan, 0.9)
    y_val = np.full_like(data["labels_val"], np.nan)
    y_val[:, : len(AUS)] = 0.9
    history = train(
        **data | {"labels_train": y, "labels_val": y_val, "patience": 3, "max_epochs": 12}
    ).history_
    assert history["recall"].min() == 1
    # Recall never improves, yet training goes on for as long as the loss falls.
    assert len(history) > 4


def test_training_repeats_exactly_and_leaves_the_global_generator_alone(data):
    state = torch.random.get_rng_state()
    runs = [train(**data | {"max_epochs": 2}).state_dict() for _ in range(2)]
    assert all(torch.equal(a, b) for a, b in zip(*(run.values() for run in runs), strict=True))
    assert torch.equal(torch.random.get_rng_state(), state)


def test_neutralizing_removes_aus_and_keeps_the_person(world, trained):
    z, aus, _, _ = world.draw(subjects=40, frames=1, seed=7)
    result = neutralize(trained, z)
    assert result.converged.all() and (result.steps >= 200).all() and (result.steps % 50 == 0).all()
    assert (result.aus >= 0.1).mean() < 0.1 * (trained.predict(z) >= 0.1).mean() + 0.01

    # What was taken out of z, seen along the true axes of the world.
    axes = np.vstack([world.au_axes, world.nuisance_axes])
    removed = (z - result.z) @ np.linalg.pinv(axes)
    active = aus >= 0.3
    remaining = aus - removed[:, : len(AUS)]
    assert np.abs(remaining[active]).mean() < 0.35 * aus[active].mean()
    assert np.abs(removed[:, len(AUS) :]).mean() < 0.1
    with torch.no_grad():
        before, after = (trained(torch.as_tensor(codes).float())[1] for codes in (z, result.z))
    assert (after[:, AGE] - before[:, AGE]).abs().max() < 0.1
    assert (after[:, BINARY].sigmoid() - before[:, BINARY].sigmoid()).abs().max() < 0.1


def test_neutral_faces_stay_where_they_are(world, trained):
    z, aus, _, _ = world.draw(subjects=40, frames=1, seed=8)
    neutral = z - aus @ world.au_axes
    moved = np.linalg.norm(neutralize(trained, neutral).z - neutral, axis=1)
    expressive = np.linalg.norm(neutralize(trained, z).z - z, axis=1)
    assert np.median(moved) < 0.8 * np.median(expressive)


def test_result_does_not_depend_on_the_rest_of_the_batch(world, trained):
    z, _, _, _ = world.draw(subjects=30, frames=1, seed=9)
    together = neutralize(trained, z)
    assert len(set(together.steps)) > 1  # some faces left the batch before others
    for row in (0, 13, 29):
        alone = neutralize(trained, z[[row]])
        assert alone.steps[0] == together.steps[row]
        np.testing.assert_allclose(alone.z[0], together.z[row], atol=1e-5)


def test_stronger_proximity_keeps_a_face_closer(world, trained):
    z, _, _, _ = world.draw(subjects=20, frames=1, seed=9)
    near = np.linalg.norm(neutralize(trained, z, proximity=0.1).z - z, axis=1)
    far = np.linalg.norm(neutralize(trained, z, proximity=0.004).z - z, axis=1)
    assert (near < far).all()


def test_step_bound_is_reported(world, trained):
    z, _, _, _ = world.draw(subjects=3, frames=1, seed=9)
    result = neutralize(trained, z, max_steps=60)
    assert not result.converged.any() and (result.steps == 60).all()


def test_weights_survive_saving(trained, tmp_path):
    model = trained
    model.save(tmp_path / "neutralizer.safetensors")
    loaded = Neutralizer.load(tmp_path / "neutralizer.safetensors")
    z = torch.randn(4, 24)
    assert torch.equal(loaded(z)[0], model(z)[0]) and not loaded.training
    with pytest.raises(FacsimileError, match="not a neutralization model"):
        Neutralizer.load(tmp_path / "absent.safetensors")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("labels_train", "no training face has an AU label"),
        ("labels_val", "no validation face has an active AU"),
    ],
)
def test_missing_labels_are_named(data, change, message):
    with pytest.raises(FacsimileError, match=message):
        train(**data | {change: np.full_like(data[change], np.nan)})


def test_aus_without_labels_move_no_code(data, tmp_path):
    aus = ("AU04", "AU12")
    few = np.isin((*AUS, *NUISANCES), (*aus, *NUISANCES))
    some = {name: np.where(few, data[name], np.nan) for name in ("labels_train", "labels_val")}
    model = train(**data | some | {"max_epochs": 2})
    model.save(tmp_path / "n.safetensors")
    loaded = Neutralizer.load(tmp_path / "n.safetensors")
    assert loaded.aus == aus
    read = loaded.predict(np.random.default_rng(0).normal(size=(5, 24)))
    assert read.dtype == np.float32
    assert (read != 0).any(0).tolist() == [au in aus for au in AUS]

    z = data["z_val"][:4]
    unlearnt = loaded.dynamic.bias.detach().clone()
    with torch.no_grad():  # whatever stands in the layers of AUs that were not learnt
        loaded.dynamic.bias[[k for k, au in enumerate(AUS) if au not in aus]] += 5.0
    moved = neutralize(loaded, z, max_steps=20).z
    with torch.no_grad():
        loaded.dynamic.bias.copy_(unlearnt)
    np.testing.assert_array_equal(neutralize(loaded, z, max_steps=20).z, moved)
