"""Codes in memory and in tables; loading generators by name."""

import json

import numpy as np
import pandas as pd
import pytest
import torch

from facsimile.errors import FacsimileError
from facsimile.faces.tables import LATENT_SCHEMA, read_table, write_shards
from facsimile.generator import GENERATORS, Codes, InferenceOptions, load_generator


def test_codes_are_indexed_by_row():
    codes = Codes(torch.arange(6.0).reshape(3, 2), torch.arange(36.0).reshape(3, 3, 2, 2))
    some = codes[[2, 0, 2]]
    assert len(some) == 3 and some.z[0].tolist() == [4, 5]
    assert torch.equal(some.x_t[0], codes.x_t[2])
    assert codes[np.array([1])].x_t.shape == (1, 3, 2, 2)
    assert Codes(codes.z)[1:].x_t is None
    edited = Codes(codes.z, codes.x_t, raw=codes.z).replace_z(codes.z + 1)
    assert edited.raw is None and edited.x_t is codes.x_t


def test_codes_survive_a_round_trip_through_a_table(tmp_path):
    codes = Codes(torch.randn(3, 5), torch.randn(3, 3, 4, 4))
    rows = pd.DataFrame({"sample_id": list("abc"), **codes.to_columns(), "editable": True})
    write_shards([rows], tmp_path / "latents", LATENT_SCHEMA)
    found = Codes.from_table(read_table(tmp_path / "latents"))
    assert torch.equal(found.z, codes.z)
    assert torch.equal(found.x_t, codes.x_t.half().float())
    renamed = Codes.from_table(rows[["z"]].rename(columns={"z": "z_sampled"}), "z_sampled")
    assert torch.equal(renamed.z, codes.z) and renamed.x_t is None


def test_codes_without_x_t_survive_a_round_trip_through_a_table(tmp_path):
    codes = Codes(torch.randn(2, 5))
    rows = pd.DataFrame({"sample_id": list("ab"), **codes.to_columns(), "editable": [True, False]})
    write_shards([rows], tmp_path / "latents", LATENT_SCHEMA)
    read = read_table(tmp_path / "latents")
    assert Codes.from_table(read).x_t is None
    read["x_t"] = [np.zeros(12, np.float16), None]
    with pytest.raises(FacsimileError, match="1 of 2 codes have no x_T"):
        Codes.from_table(read)


def test_the_config_selects_the_generator(tmp_path, monkeypatch):
    monkeypatch.setitem(GENERATORS, "toy", lambda *arguments: arguments)
    config = tmp_path / "config.json"
    config.write_text(json.dumps({"generator": "toy"}))
    options = InferenceOptions(steps=3)
    assert load_generator(tmp_path, "cpu", options) == (tmp_path, "cpu", options)
    config.write_text(json.dumps({"generator": "tyo"}))
    with pytest.raises(FacsimileError, match="generator 'tyo' is not one of diffae, toy"):
        load_generator(tmp_path)
    config.write_text("[]")
    with pytest.raises(FacsimileError, match=r"config\.json: not a JSON object"):
        load_generator(tmp_path)
    config.unlink()
    with pytest.raises(FacsimileError, match="no generator config here"):
        load_generator(tmp_path)
