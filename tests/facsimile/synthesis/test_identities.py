"""Demographic predictors, acceptance–rejection and synthetic identities."""

from copy import copy
from dataclasses import replace

import numpy as np
import pytest
import torch

from facsimile.editing import EditOperator, Neutralizer, plan_edits
from facsimile.errors import FacsimileError
from facsimile.faces.aus import AUS
from facsimile.faces.demographics import AGE_GROUPS, CELLS
from facsimile.faces.tables import (
    GENERATED_SCHEMA,
    decode_images,
    read_faces,
    read_table,
    write_shards,
)
from facsimile.generator import Codes, NoiseModel
from facsimile.synthesis import (
    IDENTITY_SCHEMA,
    DemographicPredictors,
    IdentityOperator,
    sample_identities,
)

NOISE = NoiseModel().fit(
    Codes(torch.zeros(20, 24), torch.randn(20, 3, 4, 4, generator=torch.Generator().manual_seed(0)))
)


def people(n: int, seed: int, noise: float):
    """Codes whose first two dimensions are noisy gender and age."""
    rng = np.random.default_rng(seed)
    male, age = (rng.random(n) < 0.4).astype(float), rng.beta(1.2, 2.0, n)
    z = rng.normal(size=(n, 24))
    z[:, 0] += 6 * (male - 0.4)
    z[:, 1] = (age - age.mean()) / age.std() + noise * rng.normal(size=n)
    return z, male, age


@pytest.fixture(scope="module")
def demographics():
    return DemographicPredictors().fit(*people(3000, seed=0, noise=0.5), np.arange(3000))


def test_groups_keep_their_size_on_new_people_despite_shrinkage():
    """With weak evidence of age, ridge scores hardly leave the middle; the groups still fill."""
    z, male, age = people(4000, seed=0, noise=1.5)
    predictors = DemographicPredictors().fit(z, male, age, np.arange(4000))
    score = z @ predictors.vectors_[1] + predictors.bias_[1]
    old = (age >= 2 / 3).mean()
    assert (score >= 2 / 3).mean() < 0.2 * old
    z_new, _, age_new = people(4000, seed=1, noise=1.5)
    groups = np.array([group for _, group in predictors.predict(z_new)])
    for index, group in enumerate(AGE_GROUPS):
        share = ((age_new >= index / 3) & (age_new < (index + 1) / 3)).mean()
        assert (groups == group).mean() == pytest.approx(share, abs=0.03)


def test_clear_evidence_is_read_right(demographics):
    z, male, age = people(2000, seed=2, noise=0.5)
    cells = demographics.predict(z)
    gender = np.mean([(cell[0] == "male") == bool(m) for cell, m in zip(cells, male, strict=True)])
    assert gender > 0.98 and demographics.accuracy_["gender"] == pytest.approx(gender, abs=0.02)
    truth = np.minimum((age * 3).astype(int), 2)
    right = np.mean([cell[1] == AGE_GROUPS[t] for cell, t in zip(cells, truth, strict=True)])
    assert right > 0.7 and demographics.accuracy_["age"] == pytest.approx(right, abs=0.04)


def test_binary_ages_leave_a_middle_group():
    z, male, age = people(3000, seed=0, noise=0.3)
    predictors = DemographicPredictors().fit(z, male, (age > 0.5).astype(float), np.arange(3000))
    z, _, age = people(3000, seed=1, noise=0.3)
    groups = np.array([group for _, group in predictors.predict(z)])
    means = [age[groups == group].mean() for group in AGE_GROUPS]
    assert means == sorted(means)
    assert (groups == "middle").mean() == pytest.approx(1 / 3, abs=0.05)


def test_a_missing_group_is_named():
    z, male, age = people(300, seed=0, noise=0.3)
    with pytest.raises(FacsimileError, match="no face is labelled old"):
        DemographicPredictors().fit(z, male, age * 0.6, np.arange(300))
    with pytest.raises(FacsimileError, match="no face is labelled female"):
        DemographicPredictors().fit(z, np.ones(300), age, np.arange(300))


def test_cells_fill_evenly_whatever_the_batch_size(generator, demographics):
    options = {"seed": 7, "max_draws": 5000}
    table = sample_identities(generator, demographics, 3, **options)
    assert table.groupby(["gender", "age_group"]).size().to_dict() == dict.fromkeys(CELLS, 3)
    cells = list(zip(table["gender"], table["age_group"], strict=True))
    assert demographics.predict(np.stack(table["z_sampled"])) == cells
    assert (np.minimum((table["age"] * 3).astype(int), 2)).tolist() == [
        AGE_GROUPS.index(group) for group in table["age_group"]
    ]
    small = sample_identities(generator, demographics, 3, **options, batch_size=7)
    assert list(small["sample_id"]) == list(table["sample_id"])
    np.testing.assert_allclose(
        np.stack(small["z_sampled"]), np.stack(table["z_sampled"]), atol=1e-5
    )


def test_unfillable_cells_are_named_with_counts(generator, demographics):
    never = copy(demographics)
    never.cuts_ = demographics.cuts_ | {"age": np.array([-1.0, 1e9])}
    with pytest.raises(
        FacsimileError,
        match=r"after 300 draws: female young \(0 of 2\), female old \(0 of 2\), "
        r"male young \(0 of 2\), male old \(0 of 2\); 1\.3% of the draws",
    ):
        sample_identities(generator, never, 2, seed=0, max_draws=300)


@pytest.fixture(scope="module")
def identities(generator, demographics):
    """Neutral identities by a small untrained N: the plumbing is tested, not the neutrality."""
    torch.manual_seed(0)
    network = Neutralizer(24, width=16)
    operator = IdentityOperator(generator, network, NOISE)
    sampled = sample_identities(generator, demographics, 1, seed=7, max_draws=5000)
    return operator(sampled)


def test_identities_are_neutral_face_rows(identities, tmp_path):
    write_shards([identities], tmp_path / "identities", IDENTITY_SCHEMA)
    rows = read_table(tmp_path / "identities")
    assert len(rows) == len(CELLS) and (rows[list(AUS)] == 0).all(axis=None)
    assert rows["neutral_converged"].all() and (rows["neutral_distance"] > 0).all()
    moved = np.stack(rows["z"]) - np.stack(rows["z_sampled"])
    np.testing.assert_allclose(np.linalg.norm(moved, axis=1), rows["neutral_distance"], rtol=1e-3)


def test_synthetic_faces_share_their_identity(editor, generator, identities, tmp_path):
    plan = plan_edits(identities, intensity=1.0, seed=7)
    operator = EditOperator(generator, editor, NOISE)
    whole = operator(plan)
    write_shards([whole], tmp_path / "synthetic", GENERATED_SCHEMA)
    rows = read_faces(tmp_path / "synthetic")

    assert len(rows) == len(CELLS) * len(AUS)
    assert (rows["origin"] == "synthetic").all() and (rows["dataset"] == "synthetic").all()
    assert rows["source_id"].equals(rows["subject_id"])
    assert rows["eyeglasses"].isna().all()
    np.testing.assert_array_equal(rows["male"], np.repeat(identities["male"], 12))

    # x_T belongs to the identity: removing what z decodes to leaves the same trace in all 13 faces.
    def traces(faces):
        plain = generator.decode(
            replace(Codes.from_table(faces), x_t=torch.zeros(len(faces), 3, 4, 4))
        )
        return decode_images(faces) / 127.5 - 1 - plain.permute(0, 2, 3, 1).numpy()

    of_neutral = traces(identities[:1]).repeat(12, axis=0)
    np.testing.assert_allclose(traces(rows[:12]), of_neutral, atol=0.01)

    # Row by row the same as all at once.
    single = operator(plan.iloc[[17]])
    np.testing.assert_allclose(single["z"][0], whole["z"][17], atol=1e-5)
    assert single["image"][0] == whole["image"][17]


def test_a_neutralizer_of_another_generator_is_refused(generator):
    with pytest.raises(FacsimileError, match="takes codes of 8 dimensions, the generator's have"):
        IdentityOperator(generator, Neutralizer(8, width=16), NOISE)


def test_aus_that_n_does_not_know_are_null(generator, demographics):
    network = Neutralizer(24, width=16, aus=("AU04", "AU12"))
    operator = IdentityOperator(generator, network, NOISE)
    sampled = sample_identities(generator, demographics, 1, seed=7, max_draws=5000)
    rows = operator(sampled.head(2))
    assert (rows[["AU04", "AU12"]] == 0).all(axis=None)
    assert rows[[au for au in AUS if au not in ("AU04", "AU12")]].isna().all(axis=None)
    assert rows["residual_au"].notna().all()
