"""Rendered rows follow the population, whatever the batches and workers."""

import numpy as np
import pyarrow as pa
import pytest

from facsimile import datasets, world
from facsimile.faces.tables import FACE_SCHEMA, decode_images
from facsimile.world import population

SIZE = 32


@pytest.mark.slow
def test_rows_and_pixels_do_not_depend_on_workers(monkeypatch):
    monkeypatch.setattr("facsimile.world.faces.MIN_FACES_FOR_WORKERS", 0)
    one, two = (
        pa.concat_tables(world.iter_faces("world-oracle", 7, SIZE, 0, workers, batch_size=3))
        for workers in (1, 2)
    )
    assert one.equals(two)
    assert one.schema.equals(FACE_SCHEMA, check_metadata=True)
    people = population("world-oracle", 7, 0)
    faces = one.to_pandas()
    assert list(faces["sample_id"]) == list(people["sample_id"])
    assert np.array_equal(faces["AU12"], people["AU12"])
    images = decode_images(faces)
    assert images.shape == (7, SIZE, SIZE, 3)
    assert len(np.unique(images.reshape(7, -1), axis=0)) == 7


def test_batches():
    tables = list(world.iter_faces("world-disfa", 5, SIZE, 0, batch_size=2))
    assert [table.num_rows for table in tables] == [2, 2, 1]
    (by_name,) = datasets.iter_faces("world-disfa", 5, SIZE, 0)
    assert by_name["sample_id"].equals(pa.concat_tables(tables)["sample_id"])
    assert not by_name["source_id"].is_valid().to_pylist()[0]
