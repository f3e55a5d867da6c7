import json

import numpy as np
import pytest
import torch
from torchvision.models import mobilenet_v3_small

from facsimile.detection import AUDetector, DetectorTraining, LabelledFaces
from facsimile.detection.augmentation import augment
from facsimile.detection.detector import BalancedBatches, inverse_frequency, masked_mse
from facsimile.errors import FacsimileError
from facsimile.faces.aus import ACTIVE_THRESHOLD, AUS
from facsimile.measurement import pearson_per_au
from facsimile.measurement.metrics import choose_thresholds
from tests.facsimile.detection.faces import bars

pytestmark = pytest.mark.slow

NAN = float("nan")


def test_loss_leaves_out_what_is_not_annotated():
    labels = torch.tensor([[0.0, NAN], [1.0, 0.5]])
    predictions = torch.tensor([[0.5, 9.0], [1.0, 0.25]])
    assert masked_mse(predictions, labels).item() == pytest.approx((0.25 + 0 + 0.0625) / 3)
    assert masked_mse(predictions, torch.full((2, 2), NAN)).item() == 0


def test_loss_of_presence_labels_is_censored():
    labels = torch.tensor([[1.0, 1.0, 0.0], [1.0, 1.0, 0.0]])
    predictions = torch.tensor([[0.4, 0.0, 0.2], [0.4, 0.0, 0.2]])
    loss = masked_mse(predictions, labels, presence_only=torch.tensor([True, False]))
    expected = (0 + ACTIVE_THRESHOLD**2 + 0.04) + (0.36 + 1 + 0.04)
    assert loss.item() == pytest.approx(expected / 6)


def test_rare_aus_weigh_more():
    aus = np.zeros((10, len(AUS)))
    aus[:8, 0] = 0.5  # 8 of 10
    aus[:2, 1], aus[5:, 1] = 1, NAN  # 2 of 5
    aus[:, 2] = NAN
    weights = inverse_frequency(aus).numpy()
    assert weights[1] == pytest.approx(2 * weights[0])
    assert weights[2] == pytest.approx(weights[1])  # never active: as the rarest
    assert weights.mean() == pytest.approx(1)


def test_augmentation_mirrors_and_recolours_but_keeps_the_face():
    ramp = torch.linspace(-0.7, 0.7, 64)
    batch = (ramp[:, None] * ramp.abs()).expand(64, 3, 64, 64) + 0.1  # symmetric, like a face
    views = augment(batch, torch.Generator().manual_seed(0))
    again = augment(batch, torch.Generator().manual_seed(0))
    assert torch.equal(views, again)
    assert views.abs().max() <= 1
    for face, view in zip(batch, views, strict=True):
        correlation = torch.corrcoef(torch.stack([face.flatten(), view.flatten()]))[0, 1]
        assert 0.7 < correlation < 0.9999
    views = augment(ramp.expand(64, 3, 64, 64), torch.Generator().manual_seed(0))
    rises = views[:, 0, 32, 50] > views[:, 0, 32, 14]
    assert 0.3 < rises.float().mean() < 0.7


def test_a_new_detector_is_shallow_and_its_answers_depend_on_the_face():
    torch.manual_seed(0)
    model = AUDetector(64).train()
    seen = []
    for block in model.net.features:
        if getattr(block, "use_res_connect", False):
            block.register_forward_hook(lambda _, given, put_out: seen.append((*given, put_out)))
    answers = model(torch.rand(16, 3, 64, 64) * 2 - 1)
    assert len(seen) == 6
    assert all(torch.equal(given, put_out) for given, put_out in seen)
    assert answers.std(0).mean() > 0.015


@pytest.mark.parametrize(
    ("size", "stride", "margin", "side"),
    [(64, 1, 1 / 8, 3), (96, 1, 1 / 8, 5), (128, 2, 0, 4), (224, 2, 0, 7)],
)
def test_network_is_as_published_for_large_faces(size, stride, margin, side):
    model = AUDetector(size).eval()
    assert model.layout == (stride, margin)
    seen = []
    model.net.features.register_forward_hook(lambda _, given, put_out: seen.append(put_out.shape))
    model(torch.zeros(1, 3, size, size))
    assert seen == [(1, 576, side, side)]
    published = mobilenet_v3_small().features.state_dict()
    shapes = {name: value.shape for name, value in model.net.features.state_dict().items()}
    assert shapes == {name: value.shape for name, value in published.items()}


def test_size_of_the_faces_is_learnt_and_saved(tmp_path):
    images, aus = bars(8, seed=0)
    large = LabelledFaces(images.repeat(2, axis=1).repeat(2, axis=2), aus)
    model = DetectorTraining(seed=0, epoch_faces=8, batch_size=8, epochs=1).run(large, large)
    model.save(tmp_path)
    loaded = AUDetector.load(tmp_path)
    assert loaded.size == 128
    assert loaded.layout.stride == 2
    np.testing.assert_array_equal(loaded.predict(large.images), model.predict(large.images))


def test_batches_are_half_real_and_half_generated_and_go_through_all():
    generated = np.arange(60) % 6 == 0
    draws, generator = BalancedBatches(generated), torch.Generator().manual_seed(0)
    batches = [draws.draw(8, generator).numpy() for _ in range(25)]
    assert all(generated[rows].tolist() == [False] * 4 + [True] * 4 for rows in batches)
    counts = np.bincount(np.concatenate(batches), minlength=60)
    assert set(counts[~generated]) == {2} and set(counts[generated]) == {10}
    assert not np.array_equal(batches[0][4:], batches[5][4:])
    assert generated[draws.draw(5, generator)].tolist() == [False] * 3 + [True] * 2
    for kind in (True, False):
        rows = BalancedBatches(np.full(4, kind)).draw(4, generator)
        assert sorted(rows.tolist()) == list(range(4))


def test_generated_faces_are_learned_as_much_as_real_ones_however_few():
    """One picture with label 1 on 4 generated and 0 on 60 real faces: the two kinds weigh equally.

    Only the weights decide what is predicted, because the faces look the same.
    """
    images, aus = bars(1, seed=6)
    generated = np.arange(64) < 4
    pictures = images.repeat(64, axis=0)
    labels = generated[:, None] * np.ones_like(aus)
    training = DetectorTraining(seed=0, epoch_faces=256, batch_size=8, epochs=1)
    balanced, plain = (
        training.run(LabelledFaces(pictures, labels, generated=kinds), LabelledFaces(images, aus))
        for kinds in (generated, None)
    )
    assert 0.35 < balanced.predict(images).mean() < 0.65
    assert plain.predict(images).mean() < 0.2


def test_the_margin_of_the_picture_is_ignored(trained):
    images, _ = bars(4, seed=7)
    framed = np.full_like(images, 17)
    framed[:, 8:-8, 8:-8] = images[:, 8:-8, 8:-8]
    model = trained
    np.testing.assert_array_equal(model.predict(framed), model.predict(images))
    framed[:, 8, 8:-8] = 200
    assert (model.predict(framed) != model.predict(images)).any()


@pytest.fixture(scope="module")
def trained():
    train, val = (LabelledFaces(*bars(count, seed)) for count, seed in ((512, 1), (128, 2)))
    return DetectorTraining(seed=0, epoch_faces=512, epochs=5, lr=2e-3).run(train, val)


def test_detector_learns_and_takes_its_thresholds_from_validation_faces(trained):
    model, history = trained, trained.history_
    images, aus = bars(128, seed=2)
    read = model.predict(images)
    assert len(history) == 5
    assert history["train_loss"].iloc[-1] < history["train_loss"].iloc[0]
    assert pearson_per_au(aus, read).mean() > 0.3
    np.testing.assert_array_equal(
        model.thresholds.numpy(), choose_thresholds(aus, read).astype(np.float32)
    )


def test_detector_is_reproducible_and_leaves_the_global_generator_alone():
    images, aus = bars(64, seed=3)
    state, faces = torch.random.get_rng_state(), LabelledFaces(images, aus)
    training = DetectorTraining(seed=5, epoch_faces=64, epochs=1)
    runs = [training.run(faces, faces) for _ in range(2)]
    np.testing.assert_array_equal(runs[0].predict(images), runs[1].predict(images))
    assert torch.equal(torch.random.get_rng_state(), state)


def test_training_starts_from_the_backbone_of_an_initial_detector_and_a_head_of_its_own(trained):
    images, aus = bars(16, seed=3)
    faces = LabelledFaces(images, aus)
    frozen = DetectorTraining(seed=5, lr=1e-9, epoch_faces=8, batch_size=8, epochs=1)
    fresh, started = frozen.run(faces, faces), frozen.run(faces, faces, trained)
    statistics = ("running_mean", "running_var", "num_batches_tracked")  # one step moves them
    expected = trained.net.features.state_dict()
    for name, value in started.net.features.state_dict().items():
        if not name.endswith(statistics):
            torch.testing.assert_close(value, expected[name], rtol=0, atol=1e-6)
    assert started.net.features[0][1].num_batches_tracked == 1 + 5 * 16
    for given, put in zip(fresh.net.classifier, started.net.classifier, strict=True):
        for name, value in put.state_dict().items():
            torch.testing.assert_close(value, given.state_dict()[name], rtol=0, atol=1e-6)
    assert not np.allclose(fresh.predict(images), started.predict(images), atol=1e-3)


def test_saved_detector_reads_the_same(trained, tmp_path):
    model = trained
    model.save(tmp_path)
    images, _ = bars(8, seed=4)
    loaded = AUDetector.load(tmp_path)
    np.testing.assert_array_equal(loaded.predict(images), model.predict(images))
    assert torch.equal(loaded.thresholds, model.thresholds)
    assert loaded.predict(images[:0]).shape == (0, len(AUS))


def test_errors_name_the_problem(tmp_path):
    images, aus = bars(4, seed=0)
    with pytest.raises(FacsimileError, match="val: 4 images, 0 labelled"):
        unlabelled = LabelledFaces(images, np.full_like(aus, NAN))
        DetectorTraining(seed=0).run(LabelledFaces(images, aus), unlabelled)
    (tmp_path / "model.safetensors").write_bytes(b"nothing")
    with pytest.raises(FacsimileError, match="not an AU detector"):
        AUDetector.load(tmp_path)


def test_aus_without_labels_are_not_learnt_and_read_as_nan(tmp_path):
    images, aus = bars(24, seed=0)
    aus = np.where(np.isin(AUS, ("AU04", "AU12")), aus, NAN)
    faces = LabelledFaces(images, aus)
    model = DetectorTraining(seed=0, epoch_faces=16, batch_size=8, epochs=1).run(faces, faces)
    model.save(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    learnt = [au for au, threshold in config["thresholds"].items() if threshold is not None]
    assert learnt == ["AU04", "AU12"]
    read = AUDetector.load(tmp_path).predict(images[:3])
    assert np.isnan(read).all(axis=0).tolist() == [au not in learnt for au in AUS]
