"""The world's people and expressions have the statistics of the datasets they stand for."""

import numpy as np
import pandas as pd
import pytest

from facsimile import datasets, world
from facsimile.errors import FacsimileError
from facsimile.faces.aus import ACTIVE_THRESHOLD, AUS, NUISANCES
from facsimile.faces.schema import validate_faces
from facsimile.world import SETS, population
from facsimile.world.expressions import (
    ExpressionDraws,
    part_lips,
    spontaneous,
    to_letters,
    uncorrelated,
)
from facsimile.world.faces import face_rows

# Share of DISFA's frames in which an AU is active, per cent (Mavadati et al., 2013).
DISFA_RATES = {
    "AU01": 6.7,
    "AU02": 5.6,
    "AU04": 18.8,
    "AU05": 2.1,
    "AU06": 14.9,
    "AU09": 5.4,
    "AU12": 23.5,
    "AU15": 6.0,
    "AU17": 9.9,
    "AU20": 3.5,
    "AU25": 35.2,
    "AU26": 19.1,
}


@pytest.fixture(scope="module")
def disfa() -> pd.DataFrame:
    return population("world-disfa", 12_000, seed=0)


def correlations(faces: pd.DataFrame) -> pd.DataFrame:
    return faces[list(AUS)].astype(float).corr()


def active(faces: pd.DataFrame) -> pd.DataFrame:
    return faces[list(AUS)] >= ACTIVE_THRESHOLD


def draws_of(count: int) -> ExpressionDraws:
    return ExpressionDraws.from_generators([np.random.default_rng(k) for k in range(count)])


def test_disfa_base_rates_are_those_of_disfa(disfa):
    measured = 100 * active(disfa).mean()
    for au, rate in DISFA_RATES.items():
        assert measured[au] == pytest.approx(rate, rel=0.2, abs=1.0), au


def test_disfa_is_neutral_nearly_half_the_time(disfa):
    assert 0.40 < (~active(disfa).any(axis=1)).mean() < 0.50


def test_disfa_intensities_are_letters_with_a_long_tail(disfa):
    values = disfa[list(AUS)].to_numpy()
    assert np.allclose(np.unique(values), [0, 0.2, 0.4, 0.6, 0.8, 1.0], atol=1e-6)
    letters = np.bincount(np.rint(5 * values).astype(int).ravel(), minlength=6)[1:]
    assert letters[:2].sum() > 0.45 * letters.sum()
    assert letters[4] > 0.03 * letters.sum()


def test_disfa_action_units_are_entangled(disfa):
    r = correlations(disfa)
    upper = r.to_numpy()[np.triu_indices(12, 1)]
    assert 0.13 < np.abs(upper).mean() < 0.19
    for a, b in [("AU01", "AU02"), ("AU06", "AU12"), ("AU25", "AU26"), ("AU15", "AU17")]:
        assert r.loc[a, b] > 0.5, (a, b)


def test_wearers_of_eyeglasses_show_more_au5_and_au9(disfa):
    rates = active(disfa).groupby(disfa["eyeglasses"]).mean()
    for au in ("AU05", "AU09"):
        assert rates.loc[True, au] > 1.5 * rates.loc[False, au]
    assert rates.loc[True, "AU25"] == pytest.approx(rates.loc[False, "AU25"], rel=0.15)


def test_women_smile_more(disfa):
    smiles = active(disfa)["AU12"].groupby(disfa["male"]).mean()
    assert smiles[False] > 1.1 * smiles[True]


def test_oracle_action_units_are_not_entangled():
    faces = population("world-oracle", 8_000, seed=0)
    r = correlations(faces).to_numpy()
    upper = np.triu_indices(12, 1)
    coupled = (AUS[upper[0][k]] == "AU25" for k in range(len(upper[0])))
    free = ~np.fromiter(coupled, bool)  # AU26 parts the lips
    assert np.abs(r[upper][free]).mean() < 0.06
    assert np.abs(r[upper][free]).max() < 0.12
    assert (active(faces).mean() > 0.22).all()
    assert 0.3 < (active(faces).sum(axis=1) <= 2).mean() < 0.5


def test_ffhq_shows_every_action_unit_alone():
    faces = active(population("world-ffhq", 8_000, seed=0))
    assert (faces.mean() > 0.14).all()
    alone = faces[faces.sum(axis=1) == 1].sum()
    assert (alone.drop("AU26") > 30).all()


@pytest.mark.parametrize("name", SETS)
def test_jaw_drop_parts_the_lips(name):
    faces = population(name, 2_000, seed=1)
    assert (faces["AU25"] >= faces["AU26"] - 0.2 - 1e-6).all()
    assert (faces["AU26"] > 0.5).any()


def test_lips_are_at_most_one_letter_behind_the_jaw():
    aus = np.zeros((4, 12))
    aus[:, AUS.index("AU26")] = [0.0, 0.2, 0.8, 0.8]
    aus[:, AUS.index("AU25")] = [0.4, 0.0, 0.0, 1.0]
    assert part_lips(aus)[:, AUS.index("AU25")] == pytest.approx([0.4, 0.0, 0.6, 1.0])
    assert np.array_equal(part_lips(aus)[:, :10], aus[:, :10])


def test_letters():
    assert to_letters(np.array([0.09, 0.11, 0.49, 0.51, 0.95])) == pytest.approx(
        [0.0, 0.2, 0.4, 0.6, 1.0]
    )


def test_attributes_change_rates_only():
    """A wearer's frame differs from the same draw without eyeglasses in AU5 and AU9 alone."""
    draws = draws_of(4_000)
    plain = spontaneous(draws, np.zeros((4_000, 3)))
    worn = spontaneous(draws, np.array([[1.0, 0.0, 0.0]]).repeat(4_000, axis=0))
    changed = [au for k, au in enumerate(AUS) if not np.array_equal(plain[:, k], worn[:, k])]
    assert changed == ["AU05", "AU09"]
    assert (worn >= plain).all()


def test_few_action_units():
    aus = uncorrelated(draws_of(6_000), np.linspace(0, 1, 6_000, endpoint=False), few=0.6)
    counts = (aus > 0).sum(axis=1)
    assert np.array_equal(counts[:3_600], np.repeat([0, 1, 2], 1_200))
    assert counts[3_600:].mean() == pytest.approx(12 * 0.3, abs=0.15)
    assert aus[aus > 0].min() >= 0.1


@pytest.mark.parametrize("name", SETS)
def test_more_faces_keep_the_earlier_ones(name):
    pd.testing.assert_frame_equal(population(name, 500, 3).head(77), population(name, 77, 3))


def test_seeds_draw_other_people():
    one, other = (population("world-disfa", 270, seed) for seed in (0, 1))
    assert list(other["sample_id"]) == list(one["sample_id"])
    assert not np.array_equal(other["AU12"], one["AU12"])
    assert not np.array_equal(other["age"], one["age"])


@pytest.mark.parametrize("seed", range(4))
def test_disfa_splits_are_subject_exclusive_and_mixed(seed):
    subjects = population("world-disfa", 270, seed).groupby("subject_id")
    assert (subjects["split"].nunique() == 1).all()
    assert (subjects["session_id"].nunique() == 1).all()
    people = subjects.first().groupby("split")
    assert dict(people.size()) == pytest.approx({"train": 16, "val": 4, "test": 7}, abs=2)
    assert people["male"].agg(lambda male: 0 < male.mean() < 1).all()


@pytest.mark.parametrize("name", SETS)
def test_attributes(name):
    faces = population(name, 1_000, seed=0)
    assert not (faces["beard"] & ~faces["male"]).any()
    assert faces["age"].between(18, 80).all()
    assert 0.4 < faces["male"].mean() < 0.6
    assert 0.1 < faces["eyeglasses"].mean() < 0.5
    assert set(faces["domain"]) == set(SETS[name].domains)
    shares = faces["split"].value_counts(normalize=True)
    for split, share in SETS[name].splits.items():
        assert shares.get(split, 0.0) == pytest.approx(share, abs=0.08)


def test_photographs_of_one_person_share_what_does_not_change():
    faces = population("world-celeba", 800, seed=0).groupby("subject_id")
    assert (faces.size() == 8).all()
    assert (faces[["male", "age"]].nunique() == 1).all(axis=None)
    assert (faces["session_id"].nunique() == 8).all()
    assert (faces["eyeglasses"].nunique() == 2).any()


@pytest.mark.parametrize(
    ("name", "aus", "nuisances"),
    [
        ("world-disfa", AUS, ()),
        ("world-feafa", ("AU02", "AU04", "AU09", "AU12", "AU17", "AU20", "AU26"), ()),
        (
            "world-bp4d",
            ("AU01", "AU02", "AU04", "AU06", "AU09", "AU12", "AU15", "AU17", "AU20"),
            (),
        ),
        ("world-celeba", (), NUISANCES),
        ("world-ffhq", (), ()),
        ("world-oracle", AUS, NUISANCES),
        ("world-population", AUS, NUISANCES),
    ],
)
def test_only_what_the_set_annotates(name, aus, nuisances):
    rows = face_rows(name, population(name, 300, seed=0))
    annotated = [column for column in (*AUS, *NUISANCES) if rows[column].notna().all()]
    empty = [column for column in (*AUS, *NUISANCES) if rows[column].isna().all()]
    assert annotated == [*aus, *nuisances]
    assert len(annotated) + len(empty) == 16
    validate_faces(rows, name)


def test_bp4d_annotates_presence():
    people = population("world-bp4d", 500, seed=0)
    rows = face_rows("world-bp4d", people)
    assert rows["au_presence_only"].all()
    assert np.array_equal(rows["AU12"], (people["AU12"] >= 0.1).astype(np.float32))
    assert 0 < people["AU12"][people["AU12"] > 0].min() < 0.3


def test_ages_are_stored_as_a_fraction():
    people = population("world-celeba", 200, seed=0)
    rows = face_rows("world-celeba", people)
    assert np.allclose(rows["age"], (people["age"] - 18) / 62, atol=1e-6)


def test_unknown_sets_are_named():
    known = ", ".join(SETS)
    with pytest.raises(
        FacsimileError, match=f"^no set 'disfa' in the embedded world, only {known}"
    ):
        next(world.iter_faces("disfa", 1, 32, seed=0))
    with pytest.raises(FacsimileError, match=f"^no built-in dataset 'disfa', only {known}"):
        next(datasets.iter_faces("disfa", 1, 32, seed=0))
