"""Rendered faces: seeded, aligned, and showing what their labels say."""

import numpy as np
import pytest

from facsimile.faces.aus import AUS
from facsimile.world import population
from facsimile.world.appearance import draw_frame, draw_person, draw_session
from facsimile.world.head import PART_EYE, HeadModel
from facsimile.world.raster import depth_map
from facsimile.world.render import EYE_DISTANCE, EYE_ROW, Renderer

SIZE = 64


@pytest.fixture(scope="module")
def renderer() -> Renderer:
    return Renderer(SIZE)


@pytest.fixture
def people():
    rows = population("world-oracle", 6, seed=0)
    rows[list(AUS)] = 0.0
    rows[["eyeglasses", "beard"]] = False
    return rows


def test_a_face_depends_on_nothing_but_its_seed(renderer):
    rows = population("world-ffhq", 5, seed=0)
    faces = renderer.render(rows, seed=0)
    assert faces.shape == (5, SIZE, SIZE, 3) and faces.dtype == np.uint8
    backwards = Renderer(SIZE).render(rows.iloc[::-1], seed=0)
    assert np.array_equal(faces, backwards[::-1])
    assert (faces != renderer.render(rows, seed=1)).any(axis=(1, 2, 3)).all()


def test_people_keep_their_looks_between_frames(renderer):
    names = renderer.model.names
    one, same = (draw_person(np.random.default_rng(3), names, True, 40.0) for _ in range(2))
    assert np.array_equal(one.coefficients, same.coefficients)
    assert np.array_equal(one.skin, same.skin)


# Rows and columns of the picture where the muscles of an AU pull, as fractions of its side.
REGIONS = {
    "AU01": (0.02, 0.40), "AU02": (0.02, 0.40), "AU04": (0.20, 0.45), "AU05": (0.28, 0.45),
    "AU06": (0.30, 0.75), "AU09": (0.25, 0.75), "AU12": (0.50, 0.85), "AU15": (0.60, 0.92),
    "AU17": (0.60, 0.92), "AU20": (0.55, 0.90), "AU25": (0.60, 0.85), "AU26": (0.60, 1.00),
}  # fmt: skip


@pytest.mark.parametrize("au", AUS)
def test_an_au_changes_its_part_of_the_face_in_proportion(renderer, people, au):
    neutral = renderer.render(people, seed=0).astype(float)
    energy = []
    for intensity in (0.5, 1.0):
        changed = renderer.render(people.assign(**{au: intensity}), seed=0) - neutral
        energy.append((changed**2).mean(axis=(0, 2, 3)))
    half, full = energy
    top, bottom = (round(edge * SIZE) for edge in REGIONS[au])
    assert full[top:bottom].sum() > 0.85 * full.sum()
    assert full.sum() > 1.3 * half.sum() > 0


@pytest.mark.parametrize(
    ("attribute", "rows"), [("eyeglasses", (0.25, 0.5)), ("beard", (0.5, 1.0))]
)
def test_worn_attributes_show_where_they_are_worn(renderer, people, attribute, rows):
    people = people[people["male"]]
    plain = renderer.render(people, seed=0).astype(float)
    worn = renderer.render(people.assign(**{attribute: True}), seed=0)
    energy = ((worn - plain) ** 2).mean(axis=(0, 2, 3))
    top, bottom = (int(edge * SIZE) for edge in rows)
    assert energy[top:bottom].sum() > 0.9 * energy.sum()
    assert energy.max() > 100


def test_eyes_stay_at_their_places():
    renderer = Renderer(SIZE)
    rng = np.random.default_rng(0)
    names = renderer.model.names
    vertices = np.unique(renderer.model.triangles[renderer.model.parts == PART_EYE])
    for number in range(8):
        person = draw_person(rng, names, number % 2 == 0, 20.0 + 7 * number)
        head = renderer.model.vertices(person.coefficients[None])[0]
        right = head[vertices[renderer.model.rest[vertices, 0] < 0]].mean(0)
        left = head[vertices[renderer.model.rest[vertices, 0] > 0]].mean(0)
        eyes = np.stack([right, left])
        screen = renderer._project(eyes, eyes, 12.0) / (2 * SIZE)
        assert screen[:, 0] == pytest.approx(
            [0.5 - EYE_DISTANCE / 2, 0.5 + EYE_DISTANCE / 2], abs=0.004
        )
        assert screen[:, 1] == pytest.approx(EYE_ROW, abs=0.01)


def test_neutral_lips_touch():
    model = HeadModel()
    rng = np.random.default_rng(1)
    for _ in range(10):
        person = draw_person(rng, model.names, False, 75.0)
        model.close_lips(person.coefficients)
        upper, lower = model.vertices(person.coefficients[None])[0][[474, 493], 1]
        assert upper - lower < 0.02


def test_scenes_follow_their_domain():
    def ambient(domain: str) -> float:
        scenes = [draw_session(np.random.default_rng(k), domain) for k in range(20)]
        return float(np.mean([scene.ambient for scene in scenes]))

    assert ambient("dim-wide") < ambient("studio") < ambient("bright")


def test_poses_are_small():
    frames = np.array([draw_frame(np.random.default_rng(k)) for k in range(200)])
    assert np.abs(frames).max() <= 0.2
    assert frames[:, 0].std() == pytest.approx(0.05, rel=0.2)


def test_nearest_triangle_wins():
    corners = np.array([[0, 0], [8, 0], [0, 8]], np.float32)
    screen = np.concatenate([np.column_stack([corners, [z] * 3]) for z in (5.0, 3.0)])
    depth = depth_map(screen.astype(np.float32), np.array([[0, 1, 2], [3, 4, 5]]), 8)
    assert depth[1, 1] == pytest.approx(3)
    assert np.isinf(depth[7, 7])
