"""Datasets: each reader yields tables in the face schema."""

from collections.abc import Callable, Iterator
from functools import partial

import pyarrow as pa

from facsimile import world
from facsimile.datasets.parquet import read_parquet
from facsimile.errors import FacsimileError

__all__ = ["READERS", "iter_faces", "read_parquet"]

READERS: dict[str, Callable[..., Iterator[pa.Table]]] = {
    name: partial(world.iter_faces, name) for name in world.SETS
}
"""Built-in dataset → (faces, size, seed, workers) → tables in ``FACE_SCHEMA``."""


def iter_faces(
    dataset: str, faces: int, size: int, seed: int, workers: int = 1
) -> Iterator[pa.Table]:
    """Read the first `faces` faces of a built-in dataset as square images of `size` pixels.

    Args:
        dataset: a key of ``READERS``.
        faces: number of faces.
        size: side of the images, pixels.
        seed: seed of whatever the reader draws.
        workers: processes that decode or render.

    Raises:
        FacsimileError: there is no such dataset.
    """
    if dataset not in READERS:
        raise FacsimileError(
            f"no built-in dataset {dataset!r}, only {', '.join(READERS)}; "
            "give one of your own as a path"
        )
    return READERS[dataset](faces, size, seed, workers)
