"""Faces of your own: a Parquet file or a folder of ``part-*.parquet`` shards."""

import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from facsimile.errors import FacsimileError
from facsimile.schema import validate_faces
from facsimile.tables import (
    FACE_SCHEMA,
    conform,
    image_structs,
    iter_table,
    read_table,
    shard_paths,
)

REQUIRED = ("sample_id", "subject_id", "split", "image")
"""What every face needs; whatever else of ``FACE_SCHEMA`` is absent counts as not annotated."""


def read_parquet(
    path: str | Path, dataset: str, size: int, batch_size: int = 256
) -> Iterator[pa.Table]:
    """Check a table of faces and yield it in the face schema.

    Labels are checked before the first image is read: values outside their range, a sample_id
    twice, a subject in two splits.

    Args:
        path: Parquet file or folder of shards with at least the columns ``REQUIRED``.
        dataset: name given to the faces.
        size: side to which the (square, aligned) faces are resized, pixels.
        batch_size: rows of a yielded table.

    Raises:
        FacsimileError: the first thing wrong, with file, row, column and value.
    """
    files = shard_paths(Path(path))
    tables = []
    for file in files:
        present = pq.read_schema(file).names
        for name in REQUIRED:
            if name not in present:
                raise FacsimileError(f"{file}: missing column {name}")
        columns = [name for name in FACE_SCHEMA.names if name in present and name != "image"]
        tables.append(validate_faces(read_table(file, columns), str(file)))
    # Once more as a whole: ids and people must also differ from shard to shard.
    validate_faces(pd.concat(tables, ignore_index=True)[list(REQUIRED[:3])], str(path))
    for file in files:
        columns = [name for name in FACE_SCHEMA.names if name in pq.read_schema(file).names]
        row = 0
        for batch in iter_table(file, batch_size, columns):
            batch = batch.reset_index(drop=True)
            images = [
                _square(struct, size, f"{file}: row {row + offset} ({sample_id}) column image")
                for offset, (sample_id, struct) in enumerate(
                    zip(batch["sample_id"], batch["image"], strict=True)
                )
            ]
            batch["image"] = image_structs(np.stack(images), batch["sample_id"])
            batch["dataset"], batch["origin"] = dataset, "real"
            if "au_presence_only" not in batch:
                batch["au_presence_only"] = False
            yield conform(batch, FACE_SCHEMA)
            row += len(batch)


def _square(struct: dict[str, object] | None, size: int, where: str) -> np.ndarray:
    """Decoded and resized to uint8 (size, size, 3)."""
    if not struct or not struct["bytes"]:
        raise FacsimileError(f"{where}: no image bytes")
    try:
        with Image.open(io.BytesIO(struct["bytes"])) as picture:
            picture = picture.convert("RGB")
    except Exception as error:  # PIL raises SyntaxError, OSError, struct.error, …
        raise FacsimileError(f"{where}: unreadable image ({error})") from error
    width, height = picture.size
    if width != height:
        raise FacsimileError(f"{where}: image is {width} × {height}, aligned faces are square")
    if width != size:
        picture = picture.resize((size, size), Image.Resampling.LANCZOS)
    return np.asarray(picture)
