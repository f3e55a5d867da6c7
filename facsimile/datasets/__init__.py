"""Datasets: built-in ones are rendered, user datasets are read from files by adapters.

An adapter is a module with an ``ADAPTER`` (see `facsimile.datasets.adapter`), listed in
facsimile/adapter_modules.py.
"""

from collections.abc import Callable, Iterator
from functools import partial
from importlib import import_module
from pathlib import Path

import pyarrow as pa

from facsimile import world
from facsimile.adapter_modules import ADAPTER_MODULES
from facsimile.datasets.adapter import Adapter, Preprocessing, SubjectFold, require_faces
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
    "Parts",
    "Preprocessing",
    "Rejects",
    "SubjectFold",
    "adapter_table",
    "iter_faces",
    "recognise",
    "require_faces",
    "write_parts",
]

READERS: dict[str, Callable[..., Iterator[pa.Table]]] = {
    name: partial(world.iter_faces, name) for name in world.SETS
}
"""Built-in dataset → (faces, size, seed, workers) → tables in ``FACE_SCHEMA``."""

ADAPTERS: dict[str, Adapter] = {
    name: import_module(f"facsimile.datasets.{module}").ADAPTER
    for name, module in ADAPTER_MODULES.items()
}
"""Name → adapter. The first one that recognises a path reads it."""


def adapter_table() -> str:
    """All adapters as a Markdown table, for the documentation."""
    lines = ["| adapter | what it reads | labels |", "| --- | --- | --- |"]
    for name, adapter in ADAPTERS.items():
        url = adapter.terms.url
        link = f"[`{name}`]({url})" if url else f"`{name}`"
        lines.append(f"| {link} | {adapter.reads} | {adapter.labels} |")
    return "\n".join(lines)


def iter_faces(
    dataset: str, faces: int, size: int, seed: int, workers: int = 1
) -> Iterator[pa.Table]:
    """Generate the first `faces` faces of a built-in dataset.

    Args:
        dataset: a key of ``READERS``.
        faces: number of faces.
        size: side of the square images, pixels.
        seed: seed of all random draws.
        workers: processes that render.

    Raises:
        FacsimileError: unknown dataset.
    """
    if dataset not in READERS:
        raise FacsimileError(
            f"no built-in dataset {dataset!r}, only {', '.join(READERS)}; add a path for your own "
            "under ingest.paths"
        )
    return READERS[dataset](faces, size, seed, workers)


def recognise(path: Path) -> str:
    """The key in ``ADAPTERS`` of the first adapter that recognises the files at `path`.

    Raises:
        FacsimileError: no adapter recognises them, or a file is unreadable.
    """
    for name, adapter in ADAPTERS.items():
        if adapter.recognises(path):
            return name
    raise FacsimileError(f"{path}: none of the layouts {', '.join(ADAPTERS)}")
