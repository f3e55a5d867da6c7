"""Planning transfers of expressions, and decoding them."""

import numpy as np
import pandas as pd
import pytest

from facsimile.editing import TransferOperator, person_codes, plan_transfers
from facsimile.errors import FacsimileError
from facsimile.faces.aus import AUS, NUISANCES
from facsimile.faces.tables import (
    GENERATED_SCHEMA,
    decode_images,
    image_structs,
    read_faces,
    to_tensor,
    to_uint8,
    write_shards,
)
from facsimile.generator import Codes
from tests.facsimile.editing.conftest import face_rows

PEOPLE = [f"S{n}" for n in range(10)]
OPTIONS = {"count": 120, "per_face": 2, "strength": (0.25, 0.75), "seed": 5}


@pytest.fixture(scope="module")
def faces() -> pd.DataFrame:
    """200 faces of ten people: AU12 on half of them, AU05 on ten, 40 neutral; the last ten faces
    have no labels."""
    aus = np.zeros((200, len(AUS)))
    aus[40:140, AUS.index("AU12")] = 0.6
    aus[140:150, AUS.index("AU05")] = 1.0
    aus[150:190, AUS.index("AU04")] = 0.2
    aus[190:] = np.nan
    return face_rows(aus, np.full((200, 4), 0.5), np.tile(PEOPLE, 20))


def test_rare_aus_are_chosen_before_others(faces):
    plan = plan_transfers(faces, ["D1"], **OPTIONS)
    chosen = plan.groupby("source_id").size().reindex(faces["sample_id"], fill_value=0).to_numpy()
    assert len(plan) == 120 and chosen.max() == 2
    rare, usual, common, neutral = chosen[140:150], chosen[150:190], chosen[40:140], chosen[:40]
    assert rare.mean() > usual.mean() > common.mean() > neutral.mean() > 0
    assert not chosen[190:].any()


def test_aus_that_come_alone_are_chosen_before_others():
    aus = np.zeros((1000, len(AUS)))
    aus[:200, AUS.index("AU04")] = 1.0
    aus[100:600, [AUS.index(au) for au in ("AU06", "AU25", "AU26")]] = 1.0
    faces = face_rows(aus, np.zeros((1000, 4)), np.tile(PEOPLE, 100))
    plan = plan_transfers(faces, ["D1"], **(OPTIONS | {"per_face": 1, "count": 200}))
    frowns = plan[plan["AU04"] > 0]
    assert (frowns["AU06"] == 0).sum() > 1.5 * (frowns["AU06"] > 0).sum() > 0


def test_labels_are_those_of_the_source_and_attributes_are_null(faces):
    plan = plan_transfers(faces, PEOPLE, **OPTIONS)
    source = faces.set_index("sample_id").loc[plan["source_id"]]
    np.testing.assert_array_equal(plan[list(AUS)], source[list(AUS)])
    assert list(plan["subject_id"]) == list(source["subject_id"])
    assert plan[list(NUISANCES)].isna().all(axis=None)
    assert plan["sample_id"].is_unique
    assert (plan["donor"] != plan["subject_id"]).all() and set(plan["donor"]) == set(PEOPLE)
    assert plan["strength"].between(0.25, 0.75).all() and plan["strength"].std() > 0.1


def test_a_plan_does_not_depend_on_the_order_of_faces(faces):
    plan = plan_transfers(faces, PEOPLE, **OPTIONS).set_index("sample_id")
    other = plan_transfers(faces.sample(frac=1, random_state=0), PEOPLE[::-1], **OPTIONS)
    other = other.set_index("sample_id").loc[plan.index]
    pd.testing.assert_frame_equal(plan, other)
    again = plan_transfers(faces, PEOPLE, **(OPTIONS | {"seed": 6}))
    assert set(again["sample_id"]) != set(plan.index)


def test_one_strength_and_fewer_faces_than_wanted(faces):
    options = {"count": 1000, "per_face": 1, "strength": 0.5, "seed": 0}
    plan = plan_transfers(faces, ["D1"], **options)
    assert len(plan) == 190 and set(plan["strength"]) == {0.5}
    assert plan_transfers(faces, ["D1"], **(options | {"count": 0})).empty


def test_bad_input_is_reported(faces):
    with pytest.raises(FacsimileError, match="no face is annotated"):
        plan_transfers(faces.iloc[190:], PEOPLE, **OPTIONS)
    with pytest.raises(FacsimileError, match="no other person to transfer S3 to"):
        plan_transfers(faces[faces["subject_id"] == "S3"], ["S3"], **OPTIONS)


def test_codes_of_people_are_means():
    codes = person_codes(np.array([[0.0, 2.0], [4.0, 4.0], [2.0, 4.0]]), ["b", "a", "b"])
    assert list(codes.index) == ["a", "b"]
    np.testing.assert_array_equal(np.stack(codes), [[4.0, 4.0], [1.0, 3.0]])


@pytest.fixture(scope="module")
def made(generator, faces, tmp_path_factory) -> tuple[pd.DataFrame, pd.DataFrame, pd.Series]:
    """Twelve transfers as planned, as made and stored, and the codes of all people."""
    size = generator.image_size
    pixels = np.random.default_rng(0).integers(0, 256, (190, size, size, 3), np.uint8)
    ids = faces["sample_id"][:190].to_list()
    pictured = faces.iloc[:190].assign(image=image_structs(pixels, ids))
    encoded = generator.encode(to_tensor(pixels)).z.numpy()
    people = person_codes(encoded, pictured["subject_id"])
    plan = plan_transfers(pictured.assign(z=list(encoded)), PEOPLE, **(OPTIONS | {"count": 12}))
    operator = TransferOperator(generator, people)
    path = tmp_path_factory.mktemp("faces")
    made = (operator(rows, decode_images(rows)) for rows in (plan.iloc[:5], plan.iloc[5:]))
    write_shards(made, path / "t", GENERATED_SCHEMA)
    return plan, read_faces(path / "t"), people


def test_the_code_moves_from_one_person_to_the_other(generator, made):
    plan, rows, people = made
    for (_, planned), (_, row) in zip(plan.iterrows(), rows.iterrows(), strict=True):
        shift = people[planned["donor"]] - people[planned["subject_id"]]
        expected = planned["z"] + np.float32(planned["strength"]) * shift
        np.testing.assert_allclose(row["z"], expected, rtol=1e-5, atol=1e-6)
    images = to_tensor(decode_images(plan))
    inverted = generator.invert(images, Codes.from_table(plan))
    decoded = to_uint8(generator.decode(inverted.replace_z(Codes.from_table(rows).z)))
    assert np.abs(decoded.astype(int) - decode_images(rows).astype(int)).max() <= 1


def test_rows_say_where_they_come_from(made):
    plan, rows, _ = made
    assert list(rows["source_id"]) == list(plan["source_id"])
    assert set(rows["origin"]) == {"transferred"} and set(rows["generator_md5"]) == {"g" * 32}
    assert rows[["edited_au", "editor", "editor_md5"]].isna().all(axis=None)
    np.testing.assert_allclose(rows["intensity"], plan["strength"], rtol=1e-6)
    np.testing.assert_array_equal(rows[list(AUS)], plan[list(AUS)].astype(np.float32))
