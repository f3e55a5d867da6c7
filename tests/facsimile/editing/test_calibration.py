"""Directions stretched until edited pictures read like real ones."""

import numpy as np
import pandas as pd
import pytest
import torch

from facsimile.editing.calibration import (
    crosstalk,
    edited_rises,
    image_scales,
    on_target_rises,
    real_rises,
    stretch,
    unmix,
)
from facsimile.editing.causal_graph import CausalGraph
from facsimile.editing.directions import fit_directions
from facsimile.editor_options import LinearOptions
from facsimile.faces.aus import AUS
from facsimile.generator import Codes
from tests.facsimile.editing.conftest import annotated

GRAPH = CausalGraph.from_config({"direct": {"AU26": ["AU25"]}})


@pytest.fixture(scope="module")
def directions(world):
    z, aus, _, subjects = world.draw(subjects=100, frames=12, seed=0)
    options = LinearOptions(model="ridge", project=())
    return fit_directions(annotated(z, subjects, aus), None, GRAPH, options)


def test_real_rise_is_the_slope_of_the_reading_within_people():
    rng = np.random.default_rng(0)
    aus = rng.random((90, 12))
    aus[:, 3] = np.nan
    aus[:, 5] = 0.0
    subjects = np.repeat(["a", "b", "c"], 30)
    bias = np.repeat([0.0, 5.0, -3.0], 30)[:, None]

    def read(images):
        readings = 0.4 * np.nan_to_num(aus) + bias
        readings[:, 0] += 0.1 * aus[:, 1]  # the reader takes some of AU02 for AU01
        return readings

    slopes = real_rises(np.zeros((90, 2, 2, 3), np.uint8), aus, subjects, read)
    assert np.isnan(slopes[[3, 5]]).all() and np.isnan(slopes[:, 3]).all()
    expected = 0.4 * np.eye(12)
    expected[1, 0] = 0.1
    left = [0, 1, 2, 4, *range(6, 12)]
    np.testing.assert_allclose(slopes[np.ix_(left, left)], expected[np.ix_(left, left)], atol=1e-9)


def constant_rises(own: float) -> pd.DataFrame:
    """Every edit raises its own AU by `own` at scales 1, 2 and 4, and no other."""
    rows = pd.MultiIndex.from_product([[1.0, 2.0, 4.0], AUS], names=["scale", "edited_au"])
    return pd.DataFrame(own * np.tile(np.eye(12), (3, 1)), index=rows, columns=list(AUS))


def test_crosstalk_is_what_real_faces_do_not_show(directions):
    rises = constant_rises(0.4)
    rises.loc[(slice(None), "AU01"), "AU04"] = [0.1, 0.2, 0.4]
    rises.loc[(slice(None), "AU01"), "AU06"] = 0.2  # of which real faces show half
    rises.loc[(slice(None), "AU01"), "AU09"] = 0.2  # but AU09 cannot be read
    rises.loc[(slice(None), "AU26"), "AU25"] = 0.4  # entailed
    wanted = 0.8 * np.eye(12)
    wanted[0, AUS.index("AU06")] = 0.2
    reliability = np.full(12, 0.9)
    reliability[AUS.index("AU09")] = 0.3
    scales = pd.Series(2.0, index=list(AUS))
    scales["AU02"] = 3.0
    shares = crosstalk(rises, scales, wanted, reliability, directions)
    expected = np.zeros((12, 12))
    expected[0, AUS.index("AU04")] = 0.81 * 0.2 / 0.4
    expected[0, AUS.index("AU06")] = 0.81 * (0.2 - 0.1) / 0.4
    np.testing.assert_allclose(shares, expected, atol=1e-9)

    pure = unmix(directions, shares)
    w = directions.vector("AU01") - 0.405 * directions.vector("AU04")
    w -= 0.2025 * directions.vector("AU06")
    np.testing.assert_allclose(pure.vector("AU01"), w, rtol=1e-5)
    np.testing.assert_array_equal(pure.vector("AU12"), directions.vector("AU12"))
    assert pure.table["length"].iloc[0] == pytest.approx(np.linalg.norm(w), rel=1e-5)


def test_scales_interpolate_up_to_the_largest_measured():
    rises = constant_rises(0.5)
    rises.loc[(slice(None), "AU01"), "AU01"] = [0.2, 0.4, 0.8]
    rises.loc[(slice(None), "AU02"), "AU02"] = [0.2, 0.1, 0.3]  # a dip is no way back
    rises.loc[(slice(None), "AU04"), "AU04"] = 1.6
    wanted = np.full(12, 0.5)
    wanted[0] = 0.6
    wanted[1] = 0.8
    wanted[3] = np.nan
    wanted[4] = 0.01
    scales = image_scales(rises, wanted)
    assert scales["AU01"] == pytest.approx(3.0)
    assert scales["AU02"] == 4.0
    assert scales["AU04"] == 0.5
    assert scales["AU06"] == scales["AU05"] == 1.0  # unknown, or too little to aim at
    assert scales["AU09"] == pytest.approx(1.0)


def test_stretched_directions_do_in_pictures_what_real_faces_do(world, generator, directions):
    rng = np.random.default_rng(1)
    z = rng.normal(size=(6, generator.z_dim)).astype(np.float32) * 0.1
    neutral = Codes(torch.from_numpy(z), torch.zeros(6, 3, 4, 4))
    pseudo_inverse = np.linalg.pinv(generator.map.numpy())
    axes = np.linalg.pinv(world.au_axes)

    def read(images):
        pixels = images.astype(np.float32).reshape(6, 4, 4, 3).transpose(0, 3, 1, 2) / 127.5 - 1
        return 0.5 * pixels.reshape(6, -1) @ pseudo_inverse @ axes

    rises = edited_rises(directions, generator, neutral, read, [1.0, 2.0, 4.0])
    wanted = np.full(12, 0.8)  # real faces read stronger than these edits
    scales = image_scales(rises, wanted)
    stretched = stretch(directions, scales)
    again = edited_rises(stretched, generator, neutral, read, [1.0])
    np.testing.assert_allclose(on_target_rises(again).loc[1.0], 0.8, atol=0.12)
    table = stretched.table.set_index("name")
    np.testing.assert_allclose(table.loc[list(AUS), "image_scale"], scales, rtol=1e-6)
    assert table["length"].to_numpy() == pytest.approx(
        directions.table["length"].to_numpy() * table["image_scale"].to_numpy(), rel=1e-5
    )


def test_real_rise_where_few_faces_are_annotated_for_one_au():
    rng = np.random.default_rng(0)
    aus = rng.random((90, 12))
    aus[6:, 11] = np.nan
    aus[:, 1:11] = np.nan
    subjects = np.repeat(["a", "b", "c"], 30)

    def read(images):
        return 0.4 * np.nan_to_num(aus)

    slopes = real_rises(np.zeros((90, 2, 2, 3), np.uint8), aus, subjects, read)
    assert slopes[0, 0] == pytest.approx(0.4) and slopes[11, 11] == pytest.approx(0.4)
