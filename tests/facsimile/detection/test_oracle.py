import numpy as np
import pytest
import torch

from facsimile.detection import AUOracle, LabelledFaces, OracleTraining, oracle
from facsimile.detection.oracle import cosface_loss
from facsimile.errors import FacsimileError
from tests.facsimile.detection.faces import bars

pytestmark = pytest.mark.slow


def people(faces: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Bars over the colour of one of sixteen people."""
    images, aus = bars(faces, seed)
    person = np.random.default_rng(seed).integers(16, size=faces)
    colours = np.random.default_rng(99).integers(0, 200, (16, 3), dtype=np.uint8)
    images[:, :, :4] = images[:, :, -4:] = colours[person][:, None, None]
    return images, aus, person


@pytest.fixture(scope="module")
def trained():
    train, val = (LabelledFaces(*people(count, seed)) for count, seed in ((768, 1), (64, 2)))
    return OracleTraining(seed=0, epochs=4, identity_weight=0.1, autocast=False).run(train, val)


def test_oracle_reads_aus_and_distinguishes_people(trained):
    model, history = trained, trained.history_
    images, aus, person = people(128, seed=3)
    read, identity = model.predict_with_embeddings(images)
    assert history["val_pearson"].iloc[-1] > 0.6
    assert np.corrcoef(read.ravel(), aus.ravel())[0, 1] > 0.6
    np.testing.assert_allclose(np.linalg.norm(identity, axis=1), 1, rtol=1e-5)
    similarity = identity @ identity.T
    same = person[:, None] == person
    other = ~same
    same &= ~np.eye(len(person), dtype=bool)
    assert similarity[same].mean() > similarity[other].mean() + 0.3


def test_readings_do_not_change_under_mirroring(trained):
    images = people(8, seed=3)[0]
    np.testing.assert_allclose(
        trained.predict(images), trained.predict(images[:, :, ::-1].copy()), atol=1e-5
    )


def test_half_precision_on_disk(trained, tmp_path):
    model = trained
    model.save(tmp_path)
    images = people(16, seed=4)[0]
    loaded = AUOracle.load(tmp_path)
    for found, expected in zip(
        *(each.predict_with_embeddings(images) for each in (loaded, model)), strict=True
    ):
        np.testing.assert_allclose(found, expected, atol=0.02)
    assert (tmp_path / "model.safetensors").stat().st_size < 8e6


def test_cosface_margin_by_hand():
    embeddings = torch.tensor([[1.0, 0.0]])
    centres = torch.tensor([[2.0, 0.0], [0.0, 5.0]])
    # Own cosine 1 less the margin 0.1, the other 0, both times the scale 20: log(1 + e^-18).
    loss = cosface_loss(embeddings, centres, torch.tensor([0])).item()
    assert loss == pytest.approx(np.log1p(np.exp(-18)), abs=1e-7)
    loss = cosface_loss(embeddings, centres, torch.tensor([1])).item()
    assert loss == pytest.approx(22, rel=1e-6)


def test_errors_name_the_problem(trained, tmp_path):
    with pytest.raises(FacsimileError, match=r"\(32, 32, 3\), not \(64, 64, 3\)"):
        trained.predict(np.zeros((1, 32, 32, 3), np.uint8))
    with pytest.raises(FacsimileError, match="not an oracle"):
        AUOracle.load(tmp_path)


def test_fewer_faces_than_a_batch_make_one():
    images, aus = bars(6, seed=0)
    labels = np.where(np.arange(12) == 2, aus, np.nan)
    people = np.repeat(["a", "b"], 3)
    faces = LabelledFaces(images, labels, people)
    history = OracleTraining(seed=0, epochs=1).run(faces, faces).history_
    assert np.isfinite(history["au_loss"]).all() and np.isfinite(history["val_au_loss"]).all()


def test_bfloat16_is_left_to_devices_that_have_kernels_for_it(monkeypatch):
    train, val = (LabelledFaces(*people(count, seed)) for count, seed in ((64, 1), (16, 2)))

    def weights(autocast: bool) -> torch.Tensor:
        model = OracleTraining(seed=0, epochs=1, autocast=autocast).run(train, val)
        return next(model.parameters())

    monkeypatch.setattr(oracle, "computes_bfloat16", lambda device: False)
    torch.testing.assert_close(weights(True), weights(False), rtol=0, atol=0)
