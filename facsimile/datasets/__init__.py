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
from facsimile.datasets.delimited import SUFFIXES
from facsimile.datasets.frames import is_image
from facsimile.datasets.parts import Parts, write_parts
from facsimile.datasets.rejects import REJECT_SCHEMA, Rejects
from facsimile.datasets.survey import Pictures, survey_pictures
from facsimile.errors import FacsimileError
from facsimile.faces.aus import AUS
from facsimile.files import is_parquet

__all__ = [
    "ADAPTERS",
    "READERS",
    "REJECT_SCHEMA",
    "Adapter",
    "Aligner",
    "Parts",
    "Pictures",
    "Preprocessing",
    "Rejects",
    "SubjectFold",
    "adapter_table",
    "iter_faces",
    "recognise",
    "require_faces",
    "survey_pictures",
    "write_parts",
]

_TABLE = f"a table that lists them in columns image_path, subject_id, {AUS[0]} …"

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
    if path.is_file():
        _require_table(path)
    for name, adapter in ADAPTERS.items():
        if adapter.recognises(path):
            return name
    raise FacsimileError(f"{path}: {_explain_unknown(path)}")


def _require_table(path: Path) -> None:
    """Raise FacsimileError if a file is of a kind that no adapter reads."""
    if is_image(path):
        raise FacsimileError(f"{path}: is a picture; for pictures, name {_TABLE}")
    if not is_parquet(path) and path.suffix.lower() not in (*SUFFIXES, ".parquet"):
        raise FacsimileError(
            f"{path}: is neither Parquet nor text with one of the suffixes {', '.join(SUFFIXES)}; "
            "export it as CSV"
        )


def _explain_unknown(folder: Path) -> str:
    """What a folder holds that no adapter recognises, and what to do."""
    files = [file for file in folder.rglob("*") if file.is_file()]
    tables = sorted(
        file.relative_to(folder)
        for file in files
        if file.suffix.lower() in (".csv", ".tsv", ".tab", ".parquet")
    )
    pictures = sum(map(is_image, files))
    if not files:
        return "is an empty folder"
    unknown = f"none of the layouts {', '.join(ADAPTERS)}"
    if tables:
        return f"{unknown}; name one of its tables, such as {tables[0]}"
    if pictures:
        return f"{unknown}; for its {pictures:,} pictures, name {_TABLE}"
    return f"{unknown}, and no pictures"
