"""Choosing neutral faces, planning edits and decoding them."""

import numpy as np
import pandas as pd
import pytest
import torch

from facsimile.digests import file_md5
from facsimile.editing import (
    EditOperator,
    LinearEditor,
    least_active,
    neutral_faces,
    plan_edits,
)
from facsimile.editing.causal_graph import CausalGraph
from facsimile.editing.directions import Directions
from facsimile.errors import FacsimileError
from facsimile.faces.aus import AUS, NUISANCES
from facsimile.faces.tables import GENERATED_SCHEMA, decode_images, read_faces, write_shards
from facsimile.generator import Codes
from tests.facsimile.editing.conftest import face_rows, fit_world


@pytest.fixture
def directions(editor) -> Directions:
    return editor.directions_


@pytest.fixture(scope="module")
def plan(world) -> pd.DataFrame:
    """Planned edits of three neutral faces, with the latents an edit needs."""
    z, aus, nuisances, subjects = world.draw(subjects=3, frames=1, seed=4)
    faces = face_rows(aus * 0, nuisances, subjects)
    faces["z"] = list((z - aus @ world.au_axes).astype(np.float32))
    faces["x_t"] = list(np.random.default_rng(0).normal(size=(3, 48)).astype(np.float16))
    return plan_edits(faces, intensity=(0.4, 1.0), seed=11)


def test_edit_is_the_sum_of_scaled_directions(directions):
    z = torch.randn(3, 24)
    edited = directions.add_to(z, {"AU01": 0.5, "AU12": np.array([0.0, 1.0, 0.2], np.float32)})
    expected = z.numpy() + 0.5 * directions.vector("AU01")
    expected += np.outer([0.0, 1.0, 0.2], directions.vector("AU12"))
    np.testing.assert_allclose(edited.numpy(), expected, atol=1e-6)


def test_neutral_faces_are_annotated_inactive_and_evenly_spaced():
    aus = np.zeros((30, 12))
    faces = face_rows(aus, np.zeros((30, 4)), np.repeat(["S1", "S2", "S3"], 10))
    faces.loc[0, "AU12"] = 0.1  # active
    faces.loc[10:19, "AU20"] = np.nan  # S2 lacks an annotation
    faces.loc[1, "AU01"] = 0.09
    assert list(neutral_faces(faces, None).index) == [*range(1, 10), *range(20, 30)]
    # three of S1's nine: the middles of frames 1–3, 4–6, 7–9; of S3's ten the nearest to that
    assert list(neutral_faces(faces, 3).index) == [2, 5, 8, 21, 25, 28]
    assert len(neutral_faces(faces, 99)) == 19
    with pytest.raises(FacsimileError, match="none of 10 faces"):
        neutral_faces(faces.iloc[10:20], 3)


def test_plan_has_every_au_once_per_face_and_draws_by_id(plan):
    assert all(tuple(own["edited_au"]) == AUS for _, own in plan.groupby("source_id"))
    assert plan["intensity"].between(0.4, 1.0).all() and plan["intensity"].nunique() == 36
    one = plan.drop_duplicates("source_id").iloc[[1]]
    one = one.assign(sample_id=one["source_id"])
    again = plan_edits(one, intensity=(0.4, 1.0), seed=11)
    np.testing.assert_array_equal(again["intensity"], plan["intensity"][12:24])
    assert (plan_edits(one, intensity=1.0, seed=11)["intensity"] == 1).all()


def test_mixed_faces_draw_every_au_by_itself():
    faces = face_rows(np.zeros((400, 12)), np.zeros((400, 4)), np.arange(400).astype(str))
    aus = ("AU04", "AU06", "AU12", "AU25")
    plan = plan_edits(faces, intensity=(0.3, 0.7), seed=3, aus=aus, mixed=5)
    assert len(plan) == 400 * 9 and plan["sample_id"].is_unique
    mixed = plan[plan["edited_au"].isna()]
    assert mixed["sample_id"].iloc[4] == f"{faces['sample_id'].iloc[0]}/mixed/4"
    assert mixed["intensity"].isna().all() and len(mixed) == 2000
    intended = mixed[list(AUS)]
    assert (intended.drop(columns=list(aus)) == 0).all(axis=None)
    active = intended[list(aus)].to_numpy()
    assert ((active == 0) | ((active >= 0.3) & (active <= 0.7))).all()
    np.testing.assert_allclose((active > 0).mean(axis=0), 0.2, atol=0.04)
    correlation = np.corrcoef((active > 0).T)[~np.eye(4, dtype=bool)]
    assert np.abs(correlation).max() < 0.09
    # A face's own draws do not depend on the others.
    again = plan_edits(faces.iloc[[7]], intensity=(0.3, 0.7), seed=3, aus=aus, mixed=5)
    np.testing.assert_array_equal(again[list(AUS)], plan[list(AUS)][7 * 9 : 8 * 9])


def test_some_aus_alone_are_drawn_by_id():
    faces = face_rows(np.zeros((300, 12)), np.zeros((300, 4)), np.arange(300).astype(str))
    aus = ("AU04", "AU06", "AU12", "AU25")
    plan = plan_edits(faces, intensity=(0.3, 0.7), seed=3, aus=aus, single=2, mixed=1)
    assert len(plan) == 300 * 3 and plan["sample_id"].is_unique
    single = plan.dropna(subset="edited_au")
    assert (single.groupby("source_id")["edited_au"].nunique() == 2).all()
    share = single["edited_au"].value_counts() / 300
    assert set(share.index) == set(aus) and share.between(0.4, 0.6).all()
    # Each is what it is where all are shown, and does not depend on the other faces.
    whole = plan_edits(faces, intensity=(0.3, 0.7), seed=3, aus=aus, single=9, mixed=1)
    assert len(whole) == 300 * 5
    columns = ["sample_id", "edited_au", "intensity", *AUS]
    expected = whole[columns].set_index("sample_id").loc[plan["sample_id"]].reset_index()
    pd.testing.assert_frame_equal(plan[columns], expected)
    again = plan_edits(faces.iloc[[7]], intensity=(0.3, 0.7), seed=3, aus=aus, single=2, mixed=1)
    assert again["sample_id"].tolist() == plan["sample_id"].iloc[21:24].tolist()


def test_the_least_active_faces_are_those_of_each_person_first():
    faces = pd.DataFrame(
        {
            "sample_id": list("abcdefg"),
            "subject_id": list("pppqqqr"),
            "activity": [0.1, 0.3, 0.2, 0.5, 0.4, 0.4, 0.9],
        }
    )
    assert list(least_active(faces, 9, 2)["sample_id"]) == ["a", "c", "e", "f", "g"]
    assert list(least_active(faces, 9, 1)["sample_id"]) == ["a", "e", "g"]
    assert list(least_active(faces, 3, 2)["sample_id"]) == ["a", "c", "e"]
    assert least_active(faces, 0, 2).empty
    shuffled = least_active(faces.iloc[[5, 3, 6, 0, 4, 2, 1]].reset_index(drop=True), 3, 2)
    assert sorted(shuffled["sample_id"]) == ["a", "c", "e"]


def test_mixed_faces_move_along_every_direction(plan, generator, editor, directions):
    mixed = plan.iloc[:2].assign(edited_au=None, intensity=np.nan)
    mixed[["AU04", "AU12"]] = [[0.5, 0.0], [0.4, 0.8]]
    mixed["AU01"] = np.float32(0)
    mixed["AU02"] = np.float32(0)
    rows = EditOperator(generator, editor)(mixed)
    assert rows["edited_au"].isna().all() and rows["intensity"].isna().all()
    z, source = np.stack(rows["z"]), np.stack(mixed["z"])
    moved = np.array([[0.5, 0.0], [0.4, 0.8]]) @ [directions.vector(a) for a in ("AU04", "AU12")]
    np.testing.assert_allclose(z - source, moved, atol=1e-4)


@pytest.mark.parametrize("intensity", [0.0, 1.2, (0.5, 0.4), (0.5, 2.0)])
def test_impossible_intensities_are_named(plan, intensity):
    with pytest.raises(FacsimileError, match="edit intensity"):
        plan_edits(plan.iloc[:1], intensity=intensity, seed=0)


def test_edited_rows_are_labelled_traceable_and_valid(plan, generator, directions, tmp_path):
    editor = LinearEditor.from_directions(directions)
    editor.save(tmp_path)
    rows = EditOperator(generator, editor)(plan)
    write_shards([rows], tmp_path / "edit", GENERATED_SCHEMA)
    rows = read_faces(tmp_path / "edit")

    assert rows.loc[6, "sample_id"] == "disfa/S000/000000/edit/AU12"
    assert rows.loc[6, "source_id"] == "disfa/S000/000000"
    labels = rows[list(AUS)].to_numpy()
    assert ((labels > 0).sum(axis=1) == 1).all()
    np.testing.assert_allclose(labels.sum(axis=1), plan["intensity"], rtol=1e-6)
    assert (rows["origin"] == "edited").all() and (rows["seed"] == 11).all()
    assert set(rows["generator_md5"]) == {"g" * 32} and set(rows["editor"]) == {"linear"}
    assert set(rows["editor_md5"]) == {file_md5(tmp_path / "directions.parquet")}
    np.testing.assert_allclose(rows[list(NUISANCES)], plan[list(NUISANCES)], rtol=1e-6)

    # z moved by s·w, and the image is its decoding with the face's own x_T.
    z, source = np.stack(rows["z"]), np.stack(plan["z"])
    w = np.stack([directions.vector(au) for au in plan["edited_au"]])
    moved = plan["intensity"].to_numpy()[:, None] * w
    np.testing.assert_allclose(z - source, moved, atol=1e-4)
    decoded = generator.decode(Codes.from_table(rows.assign(x_t=plan["x_t"])))
    expected = decoded.add(1).mul(127.5).round().permute(0, 2, 3, 1).numpy()
    assert np.abs(decode_images(rows).astype(int) - expected).max() <= 1


def test_rows_do_not_depend_on_the_batch(plan, generator, editor):
    operator = EditOperator(generator, editor)
    whole = operator(plan)
    parts = pd.concat([operator(plan.iloc[:5]), operator(plan.iloc[5:])], ignore_index=True)
    np.testing.assert_allclose(np.stack(parts["z"]), np.stack(whole["z"]), atol=1e-5)
    assert parts.drop(columns=["z", "image"]).equals(whole.drop(columns=["z", "image"]))


def test_an_editor_of_another_generator_are_refused(generator, directions):
    table = directions.table.assign(vector=[np.ones(8, np.float32)] * len(directions.table))
    with pytest.raises(FacsimileError, match="editor linear takes codes of 8 dimensions"):
        EditOperator(generator, LinearEditor.from_directions(Directions(table)))


def test_aus_that_an_edit_entails_are_left_unlabelled(world, generator, plan):
    graph = CausalGraph.from_config({"direct": {"AU26": ["AU25"]}})
    editor = LinearEditor.from_directions(fit_world(world, graph))
    rows = EditOperator(generator, editor)(plan).set_index("edited_au")
    assert rows.loc["AU26", "AU25"].isna().all() and (rows.loc["AU26", "AU26"] > 0).all()
    assert rows.drop(index="AU26")[list(AUS)].notna().all(axis=None)


def test_neutral_faces_of_a_set_with_few_aus():
    aus = np.full((6, 12), np.nan)
    aus[:, AUS.index("AU04")] = [0, 0, 0.5, 0, np.nan, 0]
    aus[:, AUS.index("AU12")] = [0, 0.3, 0, 0, 0, np.nan]
    faces = face_rows(aus, np.zeros((6, 4)), np.repeat(["S1", "S2"], 3))
    assert list(neutral_faces(faces, None, ("AU04", "AU12")).index) == [0, 3]
    assert list(neutral_faces(faces, None, ("AU04",)).index) == [0, 1, 3, 5]
    with pytest.raises(FacsimileError, match="annotated for all of AU04, AU12 with all of them"):
        neutral_faces(faces.iloc[4:], 1, ("AU04", "AU12"))


def test_an_au_that_the_editor_does_not_know_is_named(world, generator, plan):
    table = fit_world(world).table.query("name != 'AU12'")
    editor = LinearEditor.from_directions(Directions(table))
    with pytest.raises(FacsimileError, match="no direction 'AU12'"):
        EditOperator(generator, editor)(plan)
