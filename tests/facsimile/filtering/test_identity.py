import numpy as np
import pytest

from facsimile.errors import FacsimileError
from facsimile.filtering import IdentitySpace

PEOPLE, FACES, D = 40, 6, 12


@pytest.fixture(scope="module")
def codes() -> tuple[np.ndarray, np.ndarray]:
    """People differ in the first four dimensions; one person's faces vary far more in the rest."""
    rng = np.random.default_rng(0)
    scale = np.r_[np.full(4, 0.2), np.full(D - 4, 3.0)]
    people = np.r_[np.ones(4), np.zeros(D - 4)] * rng.standard_normal((PEOPLE, D)) * 2
    subjects = np.repeat(np.arange(PEOPLE), FACES)
    return people[subjects] + scale * rng.standard_normal((len(subjects), D)), subjects


def test_identity_is_separated_from_expression(codes):
    z, subjects = codes
    space = IdentitySpace(components=4, seed=0).fit(z, subjects)
    assert space.equal_error_rate_ < 0.05
    changed_expression, changed_person = z[::FACES].copy(), z[::FACES].copy()
    changed_expression[:, 8:] += 3
    changed_person[:, :4] *= -1
    assert (space.predict(z[::FACES], changed_expression) < space.threshold_).mean() > 0.95
    assert (space.predict(z[::FACES], changed_person) > space.threshold_).all()
    np.testing.assert_allclose(space.predict(z, z), 0, atol=1e-12)


def test_people_with_a_single_face_change_nothing(codes):
    z, subjects = codes
    more_z = np.concatenate([z, np.full((3, D), 50.0)])
    more_subjects = np.concatenate([subjects, [100, 101, 102]])
    space, other = (
        IdentitySpace(seed=1).fit(*faces) for faces in ((z, subjects), (more_z, more_subjects))
    )
    np.testing.assert_allclose(space.basis_, other.basis_)
    assert space.threshold_ == other.threshold_


def test_too_few_people(codes):
    with pytest.raises(FacsimileError, match="7 of 8 people have several faces"):
        IdentitySpace(seed=0).fit(np.zeros((15, D)), np.r_[np.repeat(np.arange(7), 2), 7])
