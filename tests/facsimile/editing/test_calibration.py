"""Directions measured and rescaled on decoded images."""

import numpy as np
import pytest
import torch

from facsimile.editing import calibrate_on_images, fit_directions, image_leakage
from facsimile.editing.causal_graph import CausalGraph
from tests.facsimile.editing.conftest import LinearPipeline, face_rows


class WeakPipeline(LinearPipeline):
    """A decoder that shows only part of what the code says."""

    def __init__(self, strength: float) -> None:
        super().__init__()
        self.strength = strength

    def decode(self, z_sem, x_t, steps):
        weak = self.strength * self.normalize(z_sem)
        return super().decode(self.denormalize(weak), x_t, steps)


@pytest.fixture(scope="module")
def directions(world):
    z, aus, _, subjects = world.draw(subjects=60, frames=10, seed=0)
    return fit_directions(z, aus, subjects, CausalGraph.from_config({}), project=())


@pytest.fixture(scope="module")
def faces(world, pipeline):
    z, aus, nuisances, subjects = world.draw(subjects=5, frames=1, seed=4)
    rows = face_rows(aus * 0, nuisances, subjects)
    neutral = torch.from_numpy(z - aus @ world.au_axes).float()
    rows["z_sem"] = list(pipeline.denormalize(neutral).numpy())
    rows["x_t"] = list(np.random.default_rng(0).normal(size=(5, 48)).astype(np.float16))
    return rows


def test_a_faithful_decoder_shows_the_leakage_of_the_codes(directions, pipeline, faces):
    seen = image_leakage(directions, pipeline, faces, steps=2)
    np.testing.assert_allclose(seen, directions.leakage(), atol=1e-3)


def test_half_as_strong_images_double_the_directions(directions, faces):
    weak = WeakPipeline(0.5)
    seen = image_leakage(directions, weak, faces, steps=2)
    np.testing.assert_allclose(np.diag(seen), 0.5, atol=1e-3)
    calibrated = calibrate_on_images(directions, seen)
    np.testing.assert_allclose(calibrated.vectors, 2 * directions.vectors, rtol=0.01)
    lengths = calibrated.table["length"] / directions.table["length"]
    np.testing.assert_allclose(lengths, 2, rtol=0.01)
    np.testing.assert_allclose(calibrated.table["image_rise"], 0.5, atol=1e-3)
    again = image_leakage(calibrated, weak, faces, steps=2)
    np.testing.assert_allclose(np.diag(again), 1, atol=0.01)
    assert directions.table["image_rise"].isna().all()  # the measured ones stay as they were


def test_directions_that_images_ignore_keep_their_length_with_a_warning(directions, faces):
    seen = image_leakage(directions, WeakPipeline(0.1), faces, steps=2)
    with pytest.warns(UserWarning, match=r"AU01: an edit by 1 moves decoded images by 0\.10"):
        calibrated = calibrate_on_images(directions, seen)
    np.testing.assert_array_equal(calibrated.vectors, directions.vectors)
    np.testing.assert_allclose(calibrated.table["image_rise"], 0.1, atol=0.01)
