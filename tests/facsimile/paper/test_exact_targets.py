"""Exact targets differ from their sources by the Action Units alone."""

import numpy as np
import pandas as pd
import pytest

from facsimile.errors import FacsimileError
from facsimile.faces.aus import ACTIVE_THRESHOLD, AUS
from facsimile.paper.exact_targets import draw_targets, neutral_people, single_targets
from facsimile.world import population
from facsimile.world.render import Renderer

SIZE, SEED = 64, 7


@pytest.fixture(scope="module")
def neutral() -> pd.DataFrame:
    return neutral_people("world-population", 40, SEED)


@pytest.fixture(scope="module")
def targets(neutral: pd.DataFrame) -> pd.DataFrame:
    return draw_targets(neutral, most=6, intensity=(0.3, 1.0), seed=4)


def test_sources_are_people_that_no_other_set_has(neutral):
    assert neutral["subject_id"].is_unique and (neutral["split"] == "test").all()
    assert not neutral[list(AUS)].to_numpy().any()
    other = population("world-disfa", 27, SEED)
    assert not set(neutral["subject_id"]) & set(other["subject_id"])
    assert not np.array_equal(neutral["age"].head(27), other["age"])


def test_sets_with_too_few_people_are_named():
    with pytest.raises(FacsimileError, match=r"^world-population has only 216 people, not 217$"):
        neutral_people("world-population", 217, SEED)


def test_every_source_has_a_target_of_each_number_of_aus(neutral, targets):
    levels = targets[list(AUS)].to_numpy()
    active = levels >= ACTIVE_THRESHOLD - 1e-6
    assert np.array_equal(active.sum(axis=1), targets["n_aus"])
    assert targets.groupby("source_id")["n_aus"].apply(list).map(tuple).unique().tolist() == [
        (1, 2, 3, 4, 5, 6)
    ]
    assert targets["pair_id"].is_unique
    assert levels[levels > 0].min() >= 0.1 - 1e-6 and levels.max() <= 1.0
    assert (targets["AU25"] >= targets["AU26"] - 0.2 - 1e-6).all()
    assert active.any(axis=0).all()


def test_targets_depend_on_nothing_but_seed_and_id(neutral, targets):
    some = draw_targets(neutral.tail(3), most=6, intensity=(0.3, 1.0), seed=4)
    pd.testing.assert_frame_equal(some, targets.tail(18).reset_index(drop=True))
    other = draw_targets(neutral, most=6, intensity=(0.3, 1.0), seed=5)
    assert not np.array_equal(other[list(AUS)], targets[list(AUS)])


def test_only_requested_aus_are_drawn(neutral):
    rows = draw_targets(neutral, most=6, intensity=(0.5, 0.5), seed=0, aus=("AU04", "AU12"))
    assert sorted(rows["n_aus"].unique()) == [1, 2]
    assert not rows[[au for au in AUS if au not in ("AU04", "AU12")]].to_numpy().any()
    assert set(np.unique(rows[["AU04", "AU12"]])) == {0.0, 0.5}


def test_targets_show_the_same_picture_with_other_aus(neutral):
    """A raised brow leaves the lower face and the background as they are."""
    edits = pd.DataFrame({"source_id": neutral["sample_id"].head(6), "edited_au": "AU01", "s": 1.0})
    exact = single_targets(neutral, edits)
    constant = [column for column in exact if column not in AUS]
    pd.testing.assert_frame_equal(exact[constant], neutral.head(6)[constant])
    renderer = Renderer(SIZE)
    source = renderer.render(neutral.head(6), SEED).astype(int)
    target = renderer.render(exact, SEED).astype(int)
    changed = np.abs(target - source).max(axis=-1)
    assert (changed.max(axis=(1, 2)) > 10).all()
    assert not changed[:, round(0.6 * SIZE) :].any()
    assert not changed[:, :, [*range(5), *range(-5, 0)]].any()


def test_a_dropped_jaw_parts_the_lips(neutral):
    edits = pd.DataFrame(
        {"source_id": neutral["sample_id"].head(2), "edited_au": ["AU26", "AU12"], "s": [1.0, 0.5]}
    )
    exact = single_targets(neutral, edits)
    assert exact["AU25"].tolist() == pytest.approx([0.8, 0.0])
    assert exact["AU12"].tolist() == pytest.approx([0.0, 0.5])
