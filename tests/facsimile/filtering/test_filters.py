import numpy as np
import pandas as pd
import pytest

from facsimile.errors import FacsimileError
from facsimile.faces.aus import AUS
from facsimile.filtering import (
    DECISION_COLUMNS,
    Candidates,
    FaceFilter,
    FilterLimits,
    RealFaces,
)
from facsimile.filtering.balance import overfull
from facsimile.filtering.duplicates import near_duplicates
from facsimile.filtering.latent import LatentDistance
from facsimile.rejection_reasons import REASONS

D = 16
PEOPLE = 30


def test_mahalanobis_distance_of_a_known_covariance():
    rng = np.random.default_rng(0)
    scale = np.r_[4.0, np.ones(D - 1)]
    real = rng.standard_normal((6000, D)) * scale
    z = np.zeros((3, D))
    z[1, 0], z[2, 1] = 8, 8
    distance = LatentDistance(quantile=0.99).fit(real, np.arange(6000) // 10)
    # Of D standard normal variables the sum of squares is chi-square: 0.99 quantile 32.0 for 16.
    np.testing.assert_allclose(distance.predict(z), [0, 2, 8], atol=0.3)
    assert distance.limit_ == pytest.approx(np.sqrt(32.0), rel=0.03)


def test_limit_comes_from_people_the_model_has_not_seen():
    rng = np.random.default_rng(0)
    people = np.repeat(rng.standard_normal((10, D)), 20, axis=0)
    real = people + 0.05 * rng.standard_normal(people.shape)
    unseen = LatentDistance(0.9).fit(real, np.repeat(np.arange(10), 20))
    seen = LatentDistance(0.9).fit(real, np.arange(200))
    assert unseen.limit_ > 1.5 * seen.limit_


def test_near_duplicates_have_the_same_intended_aus():
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (6, 32, 32, 3), dtype=np.uint8)
    images[1] = images[0]
    images[3] = np.clip(images[0].astype(int) + 1, 0, 255)  # 1/255 = 0.4 % of the range
    images[4] = images[2]
    images[5] = images[2]
    intended = np.array([[1, np.nan], [0, 1], [1, np.nan], [1, np.nan], [1, np.nan], [1, np.nan]])
    kept = np.array([True, True, True, True, False, True])
    original = near_duplicates(images, intended, kept, rms=0.01)
    np.testing.assert_array_equal(original, [-1, -1, -1, 0, -1, 2])


def test_overfull_cells_are_thinned_to_the_usual_rate():
    candidates = pd.DataFrame(
        {
            "sample_id": [f"face/{n}" for n in range(400)],
            "origin": "synthetic",
            "edited_au": np.repeat(["AU01", "AU02", "AU04", "AU05"], 100),
            "male": np.tile([0.0, 1.0], 200),
            "age": np.nan,
        }
    )
    number = np.arange(400) % 100
    # Of each cell of 50: AU01 passes 20 times, AU02 20, AU04 never, AU05 always.
    passed = np.select(
        [np.arange(400) < 200, np.arange(400) < 300], [number < 40, False], default=True
    ).astype(bool)
    rejected = overfull(candidates, passed, slack=1.2, seed=0)
    left = (passed & ~rejected).reshape(4, 50, 2).sum(1)
    # The median rate of the six cells with any face is 0.4; 1.2 · 0.4 · 50 = 24.
    np.testing.assert_array_equal(left, [[20, 20], [20, 20], [0, 0], [24, 24]])
    shuffled = candidates.sample(frac=1, random_state=1)
    again = overfull(shuffled, passed[shuffled.index], slack=1.2, seed=0)
    np.testing.assert_array_equal(again, rejected[shuffled.index])


@pytest.fixture(scope="module")
def judged() -> tuple[pd.DataFrame, pd.DataFrame]:
    """Codes whose first dimensions are the AUs and whose last four are the person."""
    rng = np.random.default_rng(0)

    def codes(people: np.ndarray) -> np.ndarray:
        z = np.zeros((len(people), D))
        z[:, : len(AUS)] = rng.uniform(0, 1, (len(people), len(AUS)))
        z[:, len(AUS) :] = np.stack([np.random.default_rng(p).normal(0, 1, 4) for p in people])
        return z + rng.normal(0, 0.02, z.shape)

    subjects = np.repeat(np.arange(PEOPLE), 8)
    real_z = codes(subjects)
    sources = np.repeat(np.arange(PEOPLE), len(AUS))
    z_source = codes(sources)
    z_source[:, : len(AUS)] = 0
    aus = np.tile(np.eye(len(AUS)) * 0.8, (PEOPLE, 1))
    z = z_source.copy()
    z[:, : len(AUS)] = aus
    candidates = pd.DataFrame(aus, columns=list(AUS)).assign(
        sample_id=[f"{row}" for row in range(len(aus))],
        subject_id=[f"person/{person}" for person in sources],
        origin="edited",
        edited_au=np.tile(AUS, PEOPLE),
        male=np.nan,
        age=np.nan,
    )
    z[0, 0] = 0  # AU01 does not show …
    z[0, len(AUS) :] *= -1  # … and it is another person
    z[1, [3, 4]] = 0.8  # two more AUs show
    z[2, :2] = 0.8  # two more show, but one of them has no label
    candidates.loc[2, "AU01"] = np.nan
    z[3, len(AUS) :] *= -1  # another person
    z[4, 4] = 30  # far from any real face
    images = rng.integers(0, 256, (len(z), 32, 32, 3), dtype=np.uint8)
    images[17] = images[5]  # the same AU of two people looks the same
    detected = (z[:, : len(AUS)] >= 0.1).astype(float)
    detected[:, 6] = np.nan  # an AU that the estimator cannot tell
    people = np.array([f"person/{person}" for person in subjects])
    real_images = rng.integers(0, 256, (len(real_z), 32, 32, 3), dtype=np.uint8)
    fitted = FaceFilter(FilterLimits(realism_quantile=0, mahalanobis_quantile=1), seed=0).fit(
        RealFaces(real_images, real_z, people), real_z, subjects
    )
    intended = candidates[list(AUS)].to_numpy(copy=True)
    intended[7] = np.eye(len(AUS))[0]  # its prompt asks for another AU than it got as a label
    decisions = fitted.predict(Candidates(candidates, images, z, z_source, intended, detected))
    return candidates, decisions


def test_each_failure_has_its_reason(judged):
    _, decisions = judged
    assert tuple(decisions.columns) == DECISION_COLUMNS
    assert decisions["reason"][[0, 1, 7, 3, 4, 17]].tolist() == [
        "au_consistency",
        "au_consistency",
        "au_consistency",
        "identity",
        "latent_distance",
        "duplicate",
    ]
    assert decisions["jaccard"][:3].tolist() == pytest.approx([0, 1 / 3, 1 / 2])
    assert decisions["accepted"][2] and decisions["jaccard"][6] == 1
    assert decisions["duplicate_of"][17] == "5"
    assert decisions["accepted"].mean() > 0.95


def test_accepted_faces_have_no_reason(judged):
    _, decisions = judged
    assert (decisions["accepted"] == decisions["reason"].isna()).all()
    assert (decisions["duplicate_of"].notna() == (decisions["reason"] == "duplicate")).all()


def test_the_first_reason_that_applies_is_given(judged):
    _, decisions = judged
    accepted = decisions[decisions["accepted"]]
    assert (decisions["identity_distance"][[0, 3]] > accepted["identity_distance"].max()).all()
    assert decisions["reason"][[0, 3]].tolist() == ["au_consistency", "identity"]
    assert list(REASONS).index("au_consistency") < list(REASONS).index("identity")


def test_errors_name_the_problem(judged):
    candidates, _ = judged
    z, images = np.zeros((3, D)), np.zeros((2, 32, 32, 3), np.uint8)
    with pytest.raises(FacsimileError, match="3 candidates, but 2 images"):
        Candidates(candidates[:3], images, z, z, z, z)
    with pytest.raises(FacsimileError, match="no generated faces"):
        Candidates(candidates[:0], images, z, z, z, z)
