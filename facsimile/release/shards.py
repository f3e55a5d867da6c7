"""Write Parquet shards of marked images per split, in one pass over the faces."""

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq

from facsimile.faces.schema import SPLITS
from facsimile.faces.tables import conform
from facsimile.release.columns import RELEASE_SCHEMA

SHARD_BYTES = 400_000_000
"""Size of the images at which a shard is closed; the hub recommends at most 500 MB."""


@dataclass(frozen=True)
class Shard:
    """A written file: path within the release, split, number of faces, size in bytes, SHA-256."""

    path: str
    split: str
    rows: int
    size: int
    sha256: str


@dataclass
class _Writer:
    """Writes the shards of one split; names them at the end, when their number is known."""

    folder: Path
    split: str

    def __post_init__(self) -> None:
        self.rows: list[int] = []
        self.writer: pq.ParquetWriter | None = None
        self.filled = 0

    def write(self, faces: pd.DataFrame, limit: int) -> None:
        if self.writer is None:
            path = self.folder / f"{self.split}-{len(self.rows):05d}.parquet"
            self.writer = pq.ParquetWriter(path, RELEASE_SCHEMA, compression="zstd")
            self.rows.append(0)
            self.filled = 0
        self.writer.write_table(conform(faces, RELEASE_SCHEMA))
        self.rows[-1] += len(faces)
        self.filled += sum(len(image["bytes"]) for image in faces["image"])
        if self.filled >= limit:
            self.close()

    def close(self) -> None:
        if self.writer is not None:
            self.writer.close()
            self.writer = None

    def finish(self) -> list[Shard]:
        self.close()
        shards = []
        for index, rows in enumerate(self.rows):
            path = self.folder / f"{self.split}-{index:05d}-of-{len(self.rows):05d}.parquet"
            (self.folder / f"{self.split}-{index:05d}.parquet").rename(path)
            with path.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
            name = f"{self.folder.name}/{path.name}"
            shards.append(Shard(name, self.split, rows, path.stat().st_size, digest))
        return shards


def write_split_shards(
    batches: Iterable[pd.DataFrame],
    folder: Path,
    mark: Callable[[dict[str, Any]], bytes],
    shard_bytes: int = SHARD_BYTES,
) -> list[Shard]:
    """Write faces as ``<split>-00000-of-00001.parquet`` …; each batch is a row group.

    Args:
        batches: rows of ``RELEASE_SCHEMA``; only one batch is in memory at a time.
        folder: output folder.
        mark: row → contents of the marked image file.
        shard_bytes: a new shard begins when the images of a shard reach this size, bytes.

    Returns:
        The shards, in the order of splits.
    """
    folder.mkdir(parents=True)
    writers: dict[str, _Writer] = {}
    for batch in batches:
        rows = batch.to_dict("records")
        marked = [{"bytes": mark(row), "path": row["image"]["path"]} for row in rows]
        batch = batch.assign(image=marked)
        for split, faces in batch.groupby("split", sort=False):
            writer = writers.setdefault(split, _Writer(folder, split))
            writer.write(faces, shard_bytes)
    ordered = sorted(writers.values(), key=lambda writer: SPLITS.index(writer.split))
    return [shard for writer in ordered for shard in writer.finish()]
