"""Write a dataset in parts that survive an interruption, so that the next run resumes.

A part is a shard of the final table. It is named by a hash of all its inputs, so only a run with
the same inputs reuses it, and it is written atomically.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from facsimile.datasets.adapter import Adapter, Preprocessing, image_file
from facsimile.datasets.rejects import Rejects
from facsimile.faces.schema import Violation
from facsimile.faces.tables import FACE_SCHEMA, atomic_file

PART_ROWS = 1024
"""Minimum rows per part; a part ends where the next person, video or file begins."""

GROUP_ROWS = 512
"""Rows per row group, which are held in memory until written."""


@dataclass(frozen=True)
class Parts:
    """The parts of a dataset.

    Attributes:
        paths: shards, in order; none is empty.
        faces: total number of rows.
        thinned: faces removed by `Preprocessing.thin`.
    """

    paths: list[Path]
    faces: int
    thinned: int


def write_parts(
    adapter: Adapter,
    annotations: pd.DataFrame,
    preprocessing: Preprocessing,
    folder: Path,
    rejects: Rejects,
    workers: int = 1,
    advance: Callable[[int], None] = lambda count: None,
) -> Parts:
    """Write the faces of a dataset into `folder`, reusing existing parts.

    Args:
        adapter: reads the images.
        annotations: returned by `Adapter.open`.
        preprocessing: how to process the images.
        folder: folder of the parts, kept between runs.
        rejects: receives unusable images, including those of reused parts.
        workers: threads that decode images.
        advance: called with the number of faces done since the last call.

    Raises:
        FacsimileError: raised by `rejects`; finished parts are kept.
    """
    folder.mkdir(parents=True, exist_ok=True)
    paths: list[Path] = []
    faces = processed = 0
    for rows in _cut(annotations, adapter.whole):
        path = folder / f"{_key(rows, preprocessing)}.parquet"
        record = path.with_suffix(".json")
        if record.exists():
            result = json.loads(record.read_text())
            rejects.add([Violation(**found) for found in result["rejects"]])
            advance(len(rows))
        else:
            found = Rejects(rejects.on_error)
            count = _write(adapter.faces(rows, preprocessing, found, workers), path, advance)
            result = {"faces": count, "rejects": [asdict(violation) for violation in found.found]}
            # Written last and atomically: it marks the part as finished.
            with atomic_file(record) as temporary:
                temporary.write_text(json.dumps(result))
            rejects.add(found.found)
            advance(len(rows) - count)
        if result["faces"]:
            paths.append(path)
        faces += result["faces"]
        processed += len(rows) - len(result["rejects"])
    return Parts(paths, faces, processed - faces)


def _cut(annotations: pd.DataFrame, whole: str) -> Iterator[pd.DataFrame]:
    """Parts of at least ``PART_ROWS`` rows that end where the value of column `whole` changes."""
    values = annotations[whole]
    changes = np.flatnonzero(values.to_numpy()[1:] != values.to_numpy()[:-1]) + 1
    start = 0
    for end in (*changes, len(annotations)):
        if end - start >= PART_ROWS or end == len(annotations):
            yield annotations.iloc[start:end].reset_index(drop=True)
            start = end


def _key(rows: pd.DataFrame, preprocessing: Preprocessing) -> str:
    """Hash of all inputs of a part; images count by path, size and modification time."""
    digest = hashlib.sha256(f"{_code()} {preprocessing}".encode())
    digest.update(rows.to_csv(index=False).encode())
    sources = rows["file"]
    if "image_path" in rows:
        sources = [
            image_file(row) if isinstance(row.image_path, str) else row.file
            for row in rows.itertuples()
        ]
    for source in dict.fromkeys(map(str, sources)):
        status = Path(source).stat()
        digest.update(f"{source} {status.st_size} {status.st_mtime_ns}\n".encode())
    return digest.hexdigest()[:32]


@cache
def _code() -> str:
    """Hash of the code that reads annotations and images, because a change may change faces."""
    package = Path(__file__).parent
    faces = package.parent / "faces"
    files = [*sorted(package.glob("*.py")), faces / "images.py", faces / "decoding.py"]
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()


def _write(tables: Iterable[pa.Table], path: Path, advance: Callable[[int], None]) -> int:
    """Write tables to one file, one row group at a time. Returns the number of rows."""
    count = 0
    pending: list[pa.Table] = []
    with (
        atomic_file(path) as temporary,
        pq.ParquetWriter(temporary, FACE_SCHEMA, compression="zstd") as writer,
    ):
        for table in tables:
            pending.append(table)
            count += table.num_rows
            advance(table.num_rows)
            if sum(map(len, pending)) >= GROUP_ROWS:
                writer.write_table(pa.concat_tables(pending))
                pending = []
        if pending:
            writer.write_table(pa.concat_tables(pending))
    return count
