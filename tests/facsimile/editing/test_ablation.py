"""Editors to compare with: fitted on the same faces, different in one thing each."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from facsimile.editing import EditorData, LinearOptions, Neutralizer
from facsimile.editing.ablation import VARIANTS, fit_variants
from facsimile.editing.calibration import ImageCalibration
from facsimile.editing.causal_graph import CausalGraph
from facsimile.editing.directions import fit_directions
from facsimile.editing.nuisance_readouts import NuisanceReadouts
from facsimile.errors import FacsimileError
from facsimile.faces.aus import AUS, NUISANCES
from facsimile.generator import Codes
from tests.facsimile.editing.conftest import Z_DIM, annotated

GRAPH = CausalGraph.from_config({"expressions": {"smile": ["AU06", "AU12"]}})
OPTIONS = LinearOptions()


@pytest.fixture(scope="module")
def data(world) -> EditorData:
    z, aus, nuisances, subjects = world.draw(subjects=40, frames=10, seed=0)
    faces = annotated(z, subjects, aus, nuisances)
    neutral = Codes(torch.zeros(2, z.shape[1]), torch.zeros(2, 3, 4, 4))
    return EditorData(AUS, faces, faces, neutral, faces, GRAPH, Neutralizer(Z_DIM, width=8))


@pytest.fixture
def calibration(monkeypatch, generator, world) -> list[int]:
    """A reader that knows the world, in place of a trained one; counts how often it is asked."""
    fits = []
    inverse = np.linalg.pinv(generator.map.numpy()) @ np.linalg.pinv(world.au_axes)

    def read(images):
        pixels = images.astype(np.float32).transpose(0, 3, 1, 2) / 127.5 - 1
        return pixels.reshape(len(images), -1) @ inverse

    def fit(data, generator, options, progress):
        fits.append(options.seed)
        return ImageCalibration(
            generator, read, data.neutral, (1.0, 4.0), 0.8 * np.eye(12), np.ones(12)
        )

    monkeypatch.setattr(ImageCalibration, "fit", fit)
    return fits


def test_variants_differ_in_conditioning_and_projection(data, generator, calibration):
    editors = fit_variants(data, generator, OPTIONS)
    assert list(editors) == list(VARIANTS) and calibration == [0]
    tables = {name: editor.directions_.table.set_index("name") for name, editor in editors.items()}
    conditioned = {name: table["conditioned_on"].map(len)["AU06"] for name, table in tables.items()}
    assert conditioned == {
        "base": 0, "au-projected": 0, "conditioned": 1, "conditioned+projected": 1, "plain": 1
    }  # fmt: skip
    projected = {name: list(table["projected_off"]["AU06"]) for name, table in tables.items()}
    assert projected["base"] == projected["conditioned"] == []
    assert projected["plain"] == projected["conditioned+projected"] == list(NUISANCES)
    assert projected["au-projected"] == [au for au in AUS if au != "AU06"]
    assert (tables["plain"]["method"][list(AUS)] == "combined").all()
    assert (tables["base"]["method"][list(AUS)] == "ridge").all()


def test_all_are_calibrated_on_images(data, generator, calibration):
    editors = fit_variants(data, generator, OPTIONS)
    for name, editor in editors.items():
        scales = editor.directions_.table.set_index("name")["image_scale"][list(AUS)]
        assert (scales != 1).any(), name


def test_conditioning_separates_what_a_smile_moves_together(data, generator, calibration, world):
    editors = fit_variants(data, generator, OPTIONS)
    axes = np.linalg.pinv(world.au_axes)
    share = {}
    for name in ("base", "conditioned", "au-projected"):
        moved = editors[name].directions_.vector("AU06") @ axes
        share[name] = moved[AUS.index("AU12")] / moved[AUS.index("AU06")]
    assert share["base"] > 0.2
    assert abs(share["conditioned"]) < 0.5 * share["base"]
    assert abs(share["au-projected"]) < 0.5 * share["base"]


def test_projection_off_other_aus_is_orthogonal_to_them(data):
    options = OPTIONS.model_copy(update={"condition": False, "project": ()})
    plain, projected = (
        fit_directions(data.train, data.attributes, GRAPH, options, off) for off in (False, True)
    )
    for au in AUS:
        others = np.stack([plain.vector(other) for other in AUS if other != au])
        w = projected.vector(au)
        cosines = others @ w / np.linalg.norm(others, axis=1) / np.linalg.norm(w)
        assert np.abs(cosines).max() < 1e-5


def test_a_variant_that_cannot_be_fitted_is_left_out(data, generator, calibration, monkeypatch):
    def fit(data, options, off_other_aus=False):
        if options.alpha == 10:
            raise FacsimileError("AU04: no")
        return fit_directions(data.train, data.attributes, data.graph, options, off_other_aus)

    monkeypatch.setattr("facsimile.editing.ablation.fit_known", fit)
    with pytest.warns(UserWarning, match="editor plain is not compared: AU04: no"):
        editors = fit_variants(data, generator, OPTIONS)
    assert list(editors) == [name for name in VARIANTS if name != "plain"]


def test_neutral_faces_are_needed(data, generator):
    nothing = replace(data, neutral=Codes(torch.empty(0, 0)))
    with pytest.raises(FacsimileError, match="no inverted neutral validation faces"):
        fit_variants(nothing, generator, OPTIONS)


def test_readouts_see_nuisances_in_units_of_their_spread(world):
    z, _, nuisances, _ = world.draw(subjects=300, frames=2, seed=0)
    nuisances[:, 3] = np.nan
    readouts = NuisanceReadouts().fit(z, nuisances)
    seen = readouts.predict(z)
    assert seen[:, :3].std(axis=0) == pytest.approx(1)
    assert np.isnan(seen[:, 3]).all()
    moved = readouts.predict(z + world.nuisance_axes[0]) - seen
    assert (moved[:, 0] > 1).all()
    assert np.abs(moved[:, 1:3]).max() < 0.3
