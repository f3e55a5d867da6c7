import numpy as np
import pytest

from facsimile.errors import FacsimileError
from facsimile.filtering import RealismRanker


def person_images(count: int, seed: int) -> np.ndarray:
    """Noise around a person's shade of grey."""
    rng = np.random.default_rng(seed)
    shade = rng.integers(90, 150, (count, 1, 1, 1))
    return np.clip(shade + rng.normal(0, 12, (count, 32, 32, 3)), 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def ranked() -> tuple[np.ndarray, np.ndarray]:
    real, generated = person_images(180, 0), person_images(180, 1)
    generated[:, ::4] = generated[:, 1::4]  # every generated face carries a faint trace …
    broken = np.arange(180) % 12 == 0
    generated[broken, 8:24, 8:24] = 255  # … some are broken
    people = np.arange(180) // 6
    arguments = (real, people, generated, people + 1000)
    ranker = RealismRanker(seed=0, epochs=3, batch_size=16)
    ranks = ranker.fit_predict(*arguments)
    np.testing.assert_array_equal(ranks, ranker.fit_predict(*arguments))
    return ranks, broken


def test_broken_faces_rank_last(ranked):
    ranks, broken = ranked
    assert ranks[broken].mean() < 0.15
    assert ranks[~broken].mean() > 0.5


def test_ranks_are_shares_of_a_fold(ranked):
    ranks, _ = ranked
    assert 0 < ranks.min() <= 1 / 50
    assert (ranks == 1).sum() == 3  # the most real face of each of three folds


def test_too_few_people():
    with pytest.raises(FacsimileError, match="2 people in the generated faces"):
        RealismRanker(seed=0).fit_predict(
            person_images(6, 0), np.arange(6), person_images(6, 1), np.arange(6) % 2
        )
