"""Text encoders: sentences that do not depend on one another, training, saving and loading."""

from pathlib import Path

import numpy as np
import pytest
import torch

from facsimile.describing import TextTrainingOptions, WordEncoder, load_text_encoder
from facsimile.errors import FacsimileError
from facsimile.faces.aus import AUS
from facsimile.language import Request, describe

SHORT = TextTrainingOptions(dim=32, layers=1, steps=2, batch_size=8)


@pytest.fixture(scope="module")
def encoder() -> WordEncoder:
    return WordEncoder.fit(SHORT)


def test_a_sentence_does_not_depend_on_the_others(encoder: WordEncoder) -> None:
    sentences = ["lowered brows.", "a woman with a marked smile, no jaw drop and still cheeks."]
    together = encoder.encode(sentences)
    for row, sentence in enumerate(sentences):
        alone = encoder.encode([sentence])
        length = int(together.mask[row].sum())
        assert alone.tokens.shape[1] == length
        assert torch.allclose(together.tokens[row, :length], alone.tokens[0], atol=1e-5)
        assert torch.allclose(together.pooled[row], alone.pooled[0], atol=1e-5)


def test_unknown_words_and_empty_sentences_have_features(encoder: WordEncoder) -> None:
    features = encoder.encode(["", "zyxw"])
    assert features.tokens.isfinite().all() and features.mask.all()


def test_training_repeats_with_its_seed(encoder: WordEncoder) -> None:
    again = WordEncoder.fit(SHORT).encode(["lowered brows."])
    assert torch.equal(again.pooled, encoder.encode(["lowered brows."]).pooled)


def test_saved_and_loaded(encoder: WordEncoder, tmp_path: Path) -> None:
    encoder.save(tmp_path)
    loaded = load_text_encoder(tmp_path)
    sentence = ["a marked smile"]
    assert loaded.dim == encoder.dim
    assert torch.allclose(
        loaded.encode(sentence).pooled, encoder.encode(sentence).pooled, atol=0.01
    )


def test_not_an_encoder(tmp_path: Path) -> None:
    with pytest.raises(FacsimileError, match="not a text encoder"):
        load_text_encoder(tmp_path)


@pytest.mark.slow
def test_features_tell_aus_in_wording_never_learnt_from() -> None:
    encoder = WordEncoder.fit(TextTrainingOptions(dim=64, layers=2, steps=400, batch_size=32))
    rng = np.random.default_rng(1)

    def told(count: int, held_out: bool) -> tuple[np.ndarray, np.ndarray]:
        levels = (rng.random((count, len(AUS))) < 0.3) * rng.uniform(0.2, 1, (count, len(AUS)))
        requests = [Request(dict(zip(AUS, row.tolist(), strict=True)), {}) for row in levels]
        sentences = [describe(request, rng, held_out=held_out) for request in requests]
        return encoder.encode(sentences).pooled.numpy(), levels

    features, levels = told(600, held_out=False)
    weights = np.linalg.lstsq(np.c_[features, np.ones(600)], levels, rcond=None)[0]
    features, levels = told(200, held_out=True)
    predicted = np.c_[features, np.ones(200)] @ weights
    assert np.corrcoef(predicted.ravel(), levels.ravel())[0, 1] > 0.8


def test_clip_without_a_model_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"kind": "clip"}')
    with pytest.raises(FacsimileError, match=r"the package transformers|not a CLIP text"):
        load_text_encoder(tmp_path)


def test_clip_from_a_local_folder(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    vocabulary = {word: n for n, word in enumerate(["<|startoftext|>", "<|endoftext|>", "a</w>"])}
    config = transformers.CLIPTextConfig(
        vocab_size=3, hidden_size=16, intermediate_size=16, num_hidden_layers=1,
        num_attention_heads=2, bos_token_id=0, eos_token_id=1,
    )  # fmt: skip
    transformers.CLIPTextModel(config).save_pretrained(tmp_path)
    (tmp_path / "vocab.json").write_text(str(vocabulary).replace("'", '"'))
    (tmp_path / "merges.txt").write_text("#version: 0.2\n")
    transformers.CLIPTokenizer(
        str(tmp_path / "vocab.json"), str(tmp_path / "merges.txt")
    ).save_pretrained(tmp_path)
    from facsimile.describing import ClipEncoder

    encoder = ClipEncoder(tmp_path)
    encoder.save(tmp_path / "saved")
    features = load_text_encoder(tmp_path / "saved").encode(["a", "a a a"])
    assert features.tokens.shape[2] == features.pooled.shape[1] == encoder.dim == 16
    assert features.mask.sum(1).tolist() == [3, 5]
