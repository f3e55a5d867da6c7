"""Direction fits against closed forms and against a world whose true directions are known."""

import warnings

import numpy as np
import pytest

from facsimile.editing import CausalGraph, LinearOptions
from facsimile.editing.directions import Directions, fit_directions
from facsimile.editing.regression import (
    companions,
    conditional_ridge,
    conditional_svm,
    effects,
    orthonormal_basis,
    project_off,
    readout_correlation,
)
from facsimile.errors import FacsimileError
from facsimile.faces.aus import AUS, NUISANCES
from tests.facsimile.editing.conftest import annotated

GRAPH = CausalGraph.from_config(
    {"expressions": {"smile": ["AU06", "AU12"]}, "direct": {"AU26": ["AU25"]}}
)


@pytest.fixture(scope="module")
def data(world):
    z, aus, _, subjects = world.draw(subjects=200, frames=12, seed=0)
    z_nuisance, _, nuisances, subjects_nuisance = world.draw(subjects=400, frames=2, seed=1)
    return {
        "z": z,
        "aus": aus,
        "subjects": subjects,
        "graph": GRAPH,
        "z_nuisance": z_nuisance,
        "nuisances": nuisances,
        "subjects_nuisance": subjects_nuisance,
    }


def fit(
    z, aus, subjects, graph, *, z_nuisance=None, nuisances=None, subjects_nuisance=None, **options
) -> Directions:
    attributes = None
    if z_nuisance is not None:
        attributes = annotated(z_nuisance, subjects_nuisance, nuisances=nuisances)
    options = LinearOptions(**{"model": "combined", **options})
    return fit_directions(annotated(z, subjects, aus), attributes, graph, options)


def cosine(a, b):
    return a @ b / np.linalg.norm(a) / np.linalg.norm(b)


@pytest.mark.parametrize("own_intercepts", [False, True])
def test_conditional_ridge_solves_the_augmented_least_squares(own_intercepts):
    rng = np.random.default_rng(0)
    z, adjust, y = rng.normal(size=(60, 7)), rng.random((60, 3)), rng.random(60)
    subjects = np.repeat(["a", "b", "c"], [10, 20, 30])
    y += np.repeat([0.0, 2.0, -1.0], [10, 20, 30])
    constants = (subjects[:, None] == ["a", "b", "c"]) if own_intercepts else np.ones((60, 1))
    alpha = 10.0
    # The penalty as further rows of one least squares: √α I under Z, zeros under [Y_A constants].
    free = np.column_stack([adjust, constants])
    penalty = np.column_stack([np.sqrt(alpha) * np.eye(7), np.zeros((7, free.shape[1]))])
    design = np.vstack([np.column_stack([z, free]), penalty])
    expected = np.linalg.lstsq(design, np.append(y, np.zeros(7)), rcond=None)[0][:7]
    w = conditional_ridge(z, y, adjust, alpha, subjects if own_intercepts else None)
    np.testing.assert_allclose(w, expected, atol=1e-10)


def test_conditional_svm_leaves_to_the_labels_what_they_explain():
    """z is a noisy copy of the other AU: useful, until that AU's own label may be used."""
    rng = np.random.default_rng(0)
    other = rng.random((2000, 1))
    z = other + 0.1 * rng.normal(size=(2000, 1))
    active = other[:, 0] + 0.1 * rng.normal(size=2000) >= 0.5
    plain = conditional_svm(z, active, np.empty((2000, 0)))
    conditioned = conditional_svm(z, active, other)
    assert plain[0] > 1
    assert abs(conditioned[0]) < 0.05 * plain[0]


def test_projection_is_orthogonal_and_ignores_dependent_directions():
    rng = np.random.default_rng(0)
    a, b, w = rng.normal(size=(3, 10))
    basis = orthonormal_basis(np.stack([a, b, a + b]))
    assert basis.shape == (10, 2)
    np.testing.assert_allclose(basis.T @ basis, np.eye(2), atol=1e-12)
    left = project_off(w, basis)
    np.testing.assert_allclose([left @ a, left @ b], 0, atol=1e-12)
    np.testing.assert_allclose(w - left, basis @ (basis.T @ w))


def test_effects_are_those_of_each_label_with_the_others_held(world, data):
    found = effects(data["z"], data["aus"], data["subjects"])
    np.testing.assert_allclose(found, world.au_axes, atol=0.12)
    # One label by itself takes over what its companions do.
    alone = effects(data["z"], data["aus"][:, [AUS.index("AU06")]], data["subjects"])[0]
    with_it, rival = world.au_axes[AUS.index("AU06")], world.au_axes[AUS.index("AU12")]
    assert cosine(alone, rival) > cosine(with_it, rival) + 0.1


def test_readout_correlation_judges_on_other_people(data):
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(20), 5)
    # z predicts the group, and the group the label, but not in other groups.
    z = np.repeat(rng.normal(size=(20, 40)), 5, axis=0)
    labels = np.repeat(rng.random((20, 1)), 5, axis=0)
    assert abs(readout_correlation(z, labels, groups, alpha=1e-3)[0]) < 0.5
    read = readout_correlation(data["z"], data["aus"], data["subjects"], 10.0, True)
    assert (read > 0.5).all()


@pytest.mark.parametrize("model", ["ridge", "svm", "combined"])
def test_conditioning_recovers_the_true_direction_of_a_confounded_au(world, data, model):
    base = fit(**data, model=model, condition=False, project=())
    conditioned = fit(**data, model=model, project=())
    for au, rival in (("AU06", "AU12"), ("AU12", "AU06")):
        true, leak = world.au_axes[AUS.index(au)], world.au_axes[AUS.index(rival)]
        assert cosine(conditioned.vector(au), true) > cosine(base.vector(au), true)
        assert abs(cosine(conditioned.vector(au), leak)) < abs(cosine(base.vector(au), leak))


def test_directions_do_not_lead_towards_the_people_who_show_an_au_often(world):
    z, aus, _, subjects = world.draw(subjects=20, frames=100, seed=3)
    look = np.linalg.svd(np.vstack([world.au_axes, world.nuisance_axes]))[2][-1]
    often = np.isin(subjects, np.unique(subjects)[::2])
    shown = aus.copy()
    shown[~often, AUS.index("AU09")] *= 0.2
    z = z + (shown - aus) @ world.au_axes + np.outer(often, look)
    towards = {
        within: abs(cosine(directions.vector("AU09"), look))
        for within in (True, False)
        for directions in [fit(z, shown, subjects, GRAPH, within_subject=within, project=())]
    }
    assert towards[False] > 0.15
    assert towards[True] < 0.05


def test_unit_edit_is_as_long_as_a_real_level_e(world, data):
    """With nearly isotropic noise the calibrated direction is all but the true axis."""
    directions = fit(**data, model="ridge", project=())
    for au in ("AU01", "AU06", "AU12", "AU20"):
        w, true = directions.vector(au), world.au_axes[AUS.index(au)]
        assert cosine(w, true) > 0.9
        assert np.linalg.norm(w) == pytest.approx(np.linalg.norm(true), rel=0.15)


def test_calibration_and_projection_are_exact(data):
    directions = fit(**data)
    for au, effect in zip(AUS, effects(data["z"], data["aus"], data["subjects"]), strict=True):
        w = directions.vector(au)
        assert w @ effect == pytest.approx(w @ w, rel=1e-4)  # as long as the effect along it
    cosines = directions.cosines().loc[list(AUS), list(NUISANCES)]
    np.testing.assert_allclose(cosines, 0, atol=1e-5)

    row = directions.table.set_index("name").loc["AU06"]
    assert list(row["conditioned_on"]) == ["AU12"]
    assert list(row["projected_off"]) == list(NUISANCES)
    assert row["norm_after"] < row["norm_before"]


def test_directions_survive_saving(data, tmp_path):
    directions = fit(**data)
    directions.save(tmp_path / "directions.parquet")
    loaded = Directions.load(tmp_path / "directions.parquet")
    assert loaded.names == (*AUS, *NUISANCES) and loaded.aus == AUS
    np.testing.assert_array_equal(loaded.vectors, directions.vectors)
    assert list(loaded.table["conditioned_on"][4]) == ["AU12"]
    with pytest.raises(FacsimileError, match=r"absent\.parquet"):
        Directions.load(tmp_path / "absent.parquet")


def test_unannotated_aus_get_no_direction_and_are_not_conditioned_on(data):
    aus = data["aus"].copy()
    aus[:, AUS.index("AU12")] = np.nan
    aus[::3, AUS.index("AU06")] = np.nan  # partly annotated: the other rows are used
    directions = fit(**data | {"aus": aus}, project=())
    assert "AU12" not in directions.aus
    assert list(directions.table.set_index("name").loc["AU06", "conditioned_on"]) == []
    with pytest.raises(FacsimileError, match="no direction 'AU12'"):
        directions.vector("AU12")


def test_rows_without_the_label_do_not_touch_a_direction(data):
    aus = data["aus"].copy()
    aus[::2, AUS.index("AU26")] = np.nan
    z = data["z"].copy()
    z[::2] += 100.0
    kept = slice(1, None, 2)
    subjects = data["subjects"][kept]
    masked = conditional_ridge(z[kept], aus[kept, -1], np.empty((len(z) // 2, 0)), 1000.0, subjects)
    few = data | {"z": z, "aus": np.where(np.arange(12) == 11, aus, np.nan)}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        w = fit(**few, model="ridge", project=()).vector("AU26")
    assert cosine(w, masked) == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"z_nuisance": None}, "cannot project off 'eyeglasses'"),
        ({"subjects": ["S1"] * 2400}, "one subject only"),
        ({"subjects": np.arange(2400)}, "every subject has only one face"),
    ],
)
def test_bad_input_is_named(data, change, message):
    with pytest.raises(FacsimileError, match=message):
        fit(**data | change)


def test_an_au_that_never_occurs_is_named(data):
    aus = data["aus"].copy()
    aus[:, AUS.index("AU20")] *= 0.05
    with pytest.raises(FacsimileError, match="AU20: 0 of 2400 annotated faces are active"):
        fit(**data | {"aus": aus})


def test_few_labels_of_one_au_do_not_cost_the_others_their_rows(data):
    options = {"model": "ridge", "project": (), "within_subject": False}
    full = fit(**data, **options)
    aus = data["aus"].copy()
    seldom = AUS.index("AU26")
    shown, hidden = (np.flatnonzero(aus[:, seldom] >= 0.1), np.flatnonzero(aus[:, seldom] == 0))
    kept = np.concatenate([shown[:40], hidden[:40]])
    aus[np.setdiff1d(np.arange(len(aus)), kept), seldom] = np.nan
    few = fit(**data | {"aus": aus}, **options)
    assert few.aus == AUS
    for au in ("AU01", "AU06", "AU12"):
        assert cosine(few.vector(au), full.vector(au)) > 0.95
        length = np.linalg.norm(few.vector(au)) / np.linalg.norm(full.vector(au))
        assert length == pytest.approx(1, abs=0.1)


def test_aus_that_no_face_is_annotated_for_together(data):
    aus = np.full_like(data["aus"], np.nan)
    half = len(aus) // 2
    for rows, au in ((slice(0, half), "AU06"), (slice(half, None), "AU12")):
        aus[rows, AUS.index(au)] = data["aus"][rows, AUS.index(au)]
    fitted = fit(**data | {"aus": aus}, model="ridge", project=())
    assert fitted.aus == ("AU06", "AU12")
    assert [list(names) for names in fitted.table["conditioned_on"]] == [[]] * 6


def test_companions_leave_half_of_the_rows():
    known = np.ones((10, 4), bool)
    known[4:, 1] = False  # known on 4 of 10
    known[:3, 2] = False  # on 7
    known[7:, 3] = False  # on 7, of which 4 with the one before
    assert companions(known, 0) == [2]
    assert companions(known, 1) == [0, 3]
    assert companions(np.ones((3, 4), bool), 2) == [0, 1, 3]


def test_an_au_that_only_identifies_people_is_named(data):
    aus = data["aus"].copy()
    aus[:, AUS.index("AU20")] = np.isin(data["subjects"], np.unique(data["subjects"])[:9])
    with pytest.raises(FacsimileError, match="AU20: its intensity does not vary within any person"):
        fit(**data | {"aus": aus}, model="ridge")
