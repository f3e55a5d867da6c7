"""The accepted faces are written from the tables of generated faces, without holding them."""

from contextlib import chdir
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from facsimile.faces.aus import AUS
from facsimile.faces.origins import generated_origins
from facsimile.faces.tables import (
    GENERATED_SCHEMA,
    read_faces,
    read_located,
    shard_paths,
    write_shards,
)
from tasks import filter
from tasks.shared.artefacts import generated_tables
from tests.support.faces import face_table, noise_images


@pytest.fixture
def project(tmp_path: Path):
    """Tables of 30 generated faces each, some of whose labels are unknown."""
    rng = np.random.default_rng(0)
    with chdir(tmp_path):
        for seed, (name, origin) in enumerate(generated_origins().items()):
            ids = [f"{origin.stage}/{n}" for n in range(30)]
            made = face_table(ids, images=noise_images(30, 8, seed), origin=name, source_id="p/0")
            made[list(AUS)] = rng.random((30, len(AUS)), np.float32)
            made.loc[::3, "AU04"] = np.nan
            made = made.assign(z=list(rng.random((30, 4), np.float32)), seed=2**60 + seed)
            write_shards([made], Path("data", origin.stage, "faces"), GENERATED_SCHEMA, 8)
        yield tmp_path


def test_the_second_reading_gives_what_the_first_would_have(project, monkeypatch):
    monkeypatch.setattr(filter, "_BATCH", 7)
    whole = pd.concat(map(read_faces, generated_tables()), ignore_index=True)
    candidates = pd.concat(
        (read_located(table, filter._COLUMNS) for table in generated_tables()), ignore_index=True
    )
    chosen = np.random.default_rng(1).random(len(whole)) < 0.4
    for faces in (whole, candidates):
        labels = faces[list(AUS)].to_numpy(np.float32) / 2
        labels[5:9] = np.nan
        faces[list(AUS)] = labels
    write_shards([whole[chosen]], Path("whole"), GENERATED_SCHEMA, 16)
    written = write_shards(
        filter.read_again(candidates[chosen]), Path("streamed"), GENERATED_SCHEMA, 16
    )
    assert written == chosen.sum() > 16
    pairs = zip(shard_paths(Path("whole")), shard_paths(Path("streamed")), strict=True)
    for expected, found in pairs:
        tables = [pq.read_table(path) for path in (expected, found)]
        assert tables[0].equals(tables[1], check_metadata=True)
