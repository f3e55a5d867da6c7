"""Datasets: built-in ones are drawn, others are read from files by an adapter each.

An adapter is a module with an ``ADAPTER`` (see `facsimile.datasets.adapter`), named below.
"""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pyarrow as pa

from facsimile import world
from facsimile.datasets import bp4d, celeba, disfa, disfa_plus, feafa, ffhq, parquet, table
from facsimile.datasets.adapter import Adapter, Fold, Intake, any_left
from facsimile.datasets.alignment import Aligner
from facsimile.datasets.parts import Parts, write_parts
from facsimile.datasets.rejects import REJECT_SCHEMA, Rejects
from facsimile.errors import FacsimileError

__all__ = [
    "ADAPTERS",
    "READERS",
    "REJECT_SCHEMA",
    "Adapter",
    "Aligner",
    "Fold",
    "Intake",
    "Parts",
    "Rejects",
    "any_left",
    "iter_faces",
    "recognise",
    "write_parts",
]

READERS: dict[str, Callable[..., Iterator[pa.Table]]] = {
    name: partial(world.iter_faces, name) for name in world.SETS
}
"""Built-in dataset → (faces, size, seed, workers) → tables in ``FACE_SCHEMA``."""

ADAPTERS: dict[str, Adapter] = {
    "table": table.ADAPTER,
    "disfa": disfa.ADAPTER,
    "disfa-plus": disfa_plus.ADAPTER,
    "bp4d": bp4d.ADAPTER,
    "celeba": celeba.ADAPTER,
    "ffhq": ffhq.ADAPTER,
    "parquet": parquet.ADAPTER,
    "feafa": feafa.ADAPTER,  # looks into all folders, hence last
}
"""Layout of files → how it is read; a path is what the first says that recognises it."""


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


def recognise(path: Path) -> str:
    """The key of ``ADAPTERS`` for the files at `path`.

    Raises:
        FacsimileError: no adapter recognises them, or a file is unreadable.
    """
    for name, adapter in ADAPTERS.items():
        if adapter.recognises(path):
            return name
    raise FacsimileError(f"{path}: none of the layouts {', '.join(ADAPTERS)}")
