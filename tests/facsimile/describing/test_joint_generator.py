"""The joint generator: equations of the paper, and faces that do not depend on one another."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from facsimile.describing.joint_generator import JointGenerator
from facsimile.describing.joint_training import JointTraining, TrainingFaces, face_weights
from facsimile.describing.label_decoder import DecoderParts, IdentityDecoupling
from facsimile.describing.options import JointTrainingOptions
from facsimile.describing.sampling import JointSampler
from facsimile.faces.aus import AUS
from facsimile.measurement import pearson_per_au
from tests.facsimile.describing.conftest import HIDDEN, WIDTH, Z_DIM, LevelWords, sentence


def test_the_residual_filter_removes_the_identity_axis() -> None:
    torch.manual_seed(1)
    module = IdentityDecoupling(WIDTH, DecoderParts(modulation_mask=False))
    torch.nn.init.zeros_(module.value.weight)
    torch.nn.init.zeros_(module.value.bias)
    module.norm = torch.nn.Identity()
    latents, identity = torch.randn(3, 4, WIDTH), torch.randn(3, WIDTH)
    axis = F.normalize(module.filter(identity), dim=1)
    left = module(latents, identity)  # without attention, z_res of Eq. (7)
    assert torch.allclose((left * axis[:, None]).sum(-1), torch.zeros(3, 4), atol=1e-5)
    assert not torch.allclose(left, latents)


def test_the_modulation_mask_weakens_attention_to_identity() -> None:
    torch.manual_seed(2)
    module = IdentityDecoupling(WIDTH, DecoderParts(residual_filter=False))
    latents, identity = torch.randn(2, 4, WIDTH), torch.randn(2, WIDTH)
    key = module.key(latents)
    mask = 1 - torch.sigmoid(module.mask(identity)[:, None] @ key.transpose(1, 2))  # Eq. (6)
    scores = module.query(latents) @ key.transpose(1, 2) / WIDTH**0.5
    expected = module.norm((scores * mask).softmax(-1) @ module.value(latents) + latents)
    assert torch.allclose(module(latents, identity), expected, atol=1e-6)


def predict(model: JointGenerator, sentences: list[str], exemplars: torch.Tensor) -> torch.Tensor:
    text = LevelWords().encode(sentences)
    z_t = torch.linspace(-1, 1, Z_DIM).expand(len(exemplars), -1)
    steps = torch.full((len(exemplars),), 300)
    conditions = model.conditions(text, exemplars)
    with torch.no_grad():
        return model(z_t, steps, exemplars, conditions).z


def test_a_face_does_not_depend_on_its_batch(model: JointGenerator) -> None:
    exemplars = torch.randn(3, Z_DIM)
    sentences = ["AU12=0.80", "AU04=1.00 AU09=0.40 AU17=0.60", "neutral"]  # padded to one length
    together = predict(model, sentences, exemplars)
    for row, text in enumerate(sentences):
        alone = predict(model, [text], exemplars[[row]])
        assert torch.allclose(together[[row]], alone, atol=1e-5)


def test_a_hidden_prompt_has_no_effect(model: JointGenerator) -> None:
    exemplars = torch.randn(2, Z_DIM)
    hidden = torch.zeros(2, dtype=torch.bool)
    texts = [LevelWords().encode([word] * 2) for word in ("AU12=0.80", "AU04=1.00")]
    first, second = (model.conditions(text, exemplars, hidden).text for text in texts)
    assert torch.equal(first, second)


def test_the_au_queries_of_one_step_condition_the_next(model: JointGenerator) -> None:
    exemplars, noise = torch.randn(2, Z_DIM), torch.randn(2, Z_DIM)
    text = LevelWords().encode(["AU12=0.80", "AU04=1.00"])
    sampler = JointSampler(model, 5, 1.0, 0.5)
    mutual, _ = sampler(noise, text, exemplars)
    model.mutual = False
    static, _ = sampler(noise, text, exemplars)
    assert not torch.allclose(mutual, static, atol=1e-4)


def test_guidance_goes_beyond_the_prediction_with_the_prompt(model: JointGenerator) -> None:
    exemplars, noise = torch.randn(2, Z_DIM), torch.randn(2, Z_DIM)
    text = LevelWords().encode(["AU12=0.80", "AU04=1.00"])
    plain, guided = (JointSampler(model, 2, g, 0.5)(noise, text, exemplars)[0] for g in (1.0, 2.0))
    assert not torch.allclose(plain, guided, atol=1e-5)


def test_face_weights_are_large_where_a_dimension_changes_the_face() -> None:
    rng = np.random.default_rng(3)
    z = rng.normal(size=(300, 2))
    mask = np.zeros((8, 8), bool)
    mask[2:6, 2:6] = True
    grey = 128 + 20 * (z[:, :1, None] * mask + z[:, 1:, None] * ~mask)
    images = np.repeat(grey[..., None], 3, -1).clip(0, 255).astype(np.uint8)
    weights = face_weights(z, images, mask)
    assert weights.mean() == pytest.approx(1) and weights[0] > 10 * weights[1]


@pytest.mark.slow
def test_training_learns_prompts_labels_and_people(faces: TrainingFaces) -> None:
    options = JointTrainingOptions(
        hidden=HIDDEN, width=WIDTH, steps=500, batch_size=64, lr=3e-3, ema=0.98, sampling_steps=20
    )
    encoder = LevelWords()
    levels = faces.aus.numpy()
    training = JointTraining(
        options, faces, lambda row, step: sentence(levels[row]), encoder, torch.device("cpu")
    )
    torch.manual_seed(0)
    descriptions = F.pad(torch.eye(len(AUS)), (0, 1))
    model = JointGenerator(Z_DIM, encoder.dim, descriptions, HIDDEN, WIDTH)
    model = training.run(model, lambda count: None)
    assert set(training.weights_) == {
        "denoising", "text-label", "image-label", "text-image", "identity",
    }  # fmt: skip

    rng = np.random.default_rng(9)
    wanted = (rng.random((64, len(AUS))) < 0.3) * rng.uniform(0.2, 1, (64, len(AUS)))
    people = torch.zeros(64, Z_DIM)
    people[:, len(AUS) :] = torch.randn(64, Z_DIM - len(AUS), generator=torch.manual_seed(4))
    z, labels = JointSampler(model, 20, 1.0, 0.5)(
        torch.randn(64, Z_DIM), encoder.encode([sentence(row) for row in wanted]), people
    )
    shown = z[:, : len(AUS)].numpy() / 3
    assert np.nanmean(pearson_per_au(wanted, shown)) > 0.8
    assert np.nanmean(pearson_per_au(wanted, labels.intensity.numpy())) > 0.8
    assert F.cosine_similarity(z[:, len(AUS) :], people[:, len(AUS) :]).mean() > 0.9


def test_training_repeats_with_its_seed(faces: TrainingFaces) -> None:
    options = JointTrainingOptions(
        hidden=HIDDEN, width=WIDTH, steps=3, batch_size=8, sampling_steps=10
    )

    def train(seed: int) -> torch.Tensor:
        training = JointTraining(
            replace_seed(options, seed),
            faces,
            lambda row, step: f"AU12=0.{1 + step % 9}",
            LevelWords(),
            torch.device("cpu"),
        )
        torch.manual_seed(0)
        model = JointGenerator(Z_DIM, LevelWords.dim, torch.eye(13)[:12], HIDDEN, WIDTH)
        return training.run(model, lambda count: None).out.weight

    assert torch.equal(train(1), train(1)) and not torch.equal(train(1), train(2))


def replace_seed(options: JointTrainingOptions, seed: int) -> JointTrainingOptions:
    return options.model_copy(update={"seed": seed})
