"""A text encoder that needs no training, and faces whose AUs are linear in their codes."""

from collections.abc import Sequence

import numpy as np
import pytest
import torch

from facsimile.describing.joint_generator import JointGenerator
from facsimile.describing.joint_training import TrainingFaces
from facsimile.describing.text_encoder import TextFeatures
from facsimile.faces.aus import AUS

Z_DIM, WIDTH, HIDDEN = 16, 16, 48


class LevelWords:
    """Encodes sentences such as ``AU04=0.6 AU12=1.0``; other words have no features."""

    dim = len(AUS) + 1
    digest = "level-words"

    def encode(self, sentences: Sequence[str]) -> TextFeatures:
        words = [sentence.split() for sentence in sentences]
        tokens = torch.zeros(len(words), max(map(len, words)), self.dim)
        mask = torch.zeros(tokens.shape[:2], dtype=torch.bool)
        for row, sentence in enumerate(words):
            mask[row, : len(sentence)] = True
            for column, word in enumerate(sentence):
                au, _, level = word.partition("=")
                if au in AUS:
                    tokens[row, column, AUS.index(au)] = 1.0
                    tokens[row, column, -1] = float(level)
        pooled = (tokens[..., :-1] * tokens[..., -1:]).sum(1)
        return TextFeatures(tokens, mask, torch.nn.functional.pad(pooled, (0, 1)))


def sentence(levels: np.ndarray) -> str:
    """What `LevelWords` reads."""
    words = [f"{au}={level:.2f}" for au, level in zip(AUS, levels, strict=True) if level > 0]
    return " ".join(words) or "neutral"


@pytest.fixture
def model() -> JointGenerator:
    """An untrained generator."""
    torch.manual_seed(0)
    descriptions = torch.nn.functional.pad(torch.eye(len(AUS)), (0, 1))
    return JointGenerator(Z_DIM, LevelWords.dim, descriptions, HIDDEN, WIDTH).eval()


@pytest.fixture
def faces() -> TrainingFaces:
    """Faces of 40 people: each AU moves the code along an axis of its own."""
    rng = np.random.default_rng(0)
    people = rng.normal(size=(40, Z_DIM)).astype(np.float32)
    people[:, : len(AUS)] = 0
    exemplars = torch.from_numpy(people[rng.integers(0, 40, 400)])
    aus = (rng.random((400, len(AUS))) < 0.3) * rng.uniform(0.2, 1, (400, len(AUS)))
    aus = torch.from_numpy(aus.astype(np.float32))
    z = exemplars + torch.nn.functional.pad(3 * aus, (0, Z_DIM - len(AUS)))
    basis = torch.eye(Z_DIM)[:, len(AUS) :]
    return TrainingFaces(z, exemplars, aus, aus, torch.ones(Z_DIM), (torch.zeros(Z_DIM), basis))
