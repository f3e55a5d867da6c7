"""Face tables: Parquet shards that Hugging Face `datasets` opens as images.

A table is one ``.parquet`` file or a folder of shards. Shards are written as ``part-NNNNN.parquet``
into a temporary folder that is renamed at the end, so a reader never sees a partial table. Shards
with names of the Hugging Face hub, such as ``train-00000-of-00001.parquet``, are read as well.
"""

import io
import json
import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from facsimile.errors import FacsimileError
from facsimile.faces.aus import AUS, NUISANCES
from facsimile.faces.images import open_image
from facsimile.faces.schema import SPLIT_NAMES, validate_faces
from facsimile.files import atomic_directory
from facsimile.files import atomic_file as atomic_file

# Importing torch takes seconds, and only two functions need it.
if TYPE_CHECKING:
    import torch

_BATCH = 256
_READ_BUFFER = 2**20
_PAGE_ROWS = 16
"""Rows after which a page may end: a reader holds a whole page of images."""

_IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])

_HF_DTYPES = {
    pa.string(): "string",
    pa.float32(): "float32",
    pa.int64(): "int64",
    pa.bool_(): "bool",
}


def _with_hf_metadata(schema: pa.Schema) -> pa.Schema:
    """Add metadata that makes `datasets.load_dataset("parquet")` decode the image column."""
    features: dict[str, object] = {}
    for field in schema:
        if field.type == _IMAGE:
            features[field.name] = {"_type": "Image"}
        elif pa.types.is_list(field.type):
            value = {"dtype": _HF_DTYPES[field.type.value_type], "_type": "Value"}
            features[field.name] = {"feature": value, "_type": "List"}
        else:
            features[field.name] = {"dtype": _HF_DTYPES[field.type], "_type": "Value"}
    return schema.with_metadata({"huggingface": json.dumps({"info": {"features": features}})})


FACE_SCHEMA = _with_hf_metadata(
    pa.schema(
        [
            pa.field("sample_id", pa.string(), nullable=False),
            pa.field("dataset", pa.string(), nullable=False),
            pa.field("subject_id", pa.string(), nullable=False),
            pa.field("split", pa.string(), nullable=False),
            # `datasets` ignores the declared image feature of a field that is not nullable.
            pa.field("image", _IMAGE),
            *(pa.field(au, pa.float32()) for au in AUS),
            pa.field("au_presence_only", pa.bool_(), nullable=False),
            *(pa.field(name, pa.float32()) for name in NUISANCES),
            pa.field("origin", pa.string(), nullable=False),
            pa.field("source_id", pa.string()),
            pa.field("edited_au", pa.string()),
            pa.field("intensity", pa.float32()),
            pa.field("editor", pa.string()),
            pa.field("editor_md5", pa.string()),
            pa.field("generator_md5", pa.string()),
            pa.field("seed", pa.int64()),
        ]
    )
)
"""One face: ids, image, AU intensities in [0, 1], nuisances in [0, 1], provenance."""

GENERATED_SCHEMA = _with_hf_metadata(FACE_SCHEMA.append(pa.field("z", pa.list_(pa.float32()))))
"""A generated face with the normalised semantic code it was decoded from."""

LATENT_SCHEMA = pa.schema(
    [
        pa.field("sample_id", pa.string(), nullable=False),
        pa.field("z", pa.list_(pa.float32()), nullable=False),
        pa.field("x_t", pa.list_(pa.float16())),
        pa.field("editable", pa.bool_(), nullable=False),
    ]
)
"""Codes of one face: normalised z (D,) and x_T flattened from (3, H, W), see
`facsimile.generator.Codes`. `editable` marks the faces chosen to be edited. Only these have an x_T,
and only if the generator has x_T at all."""


def write_shards(
    batches: Iterable[pa.Table | pd.DataFrame],
    directory: Path,
    schema: pa.Schema,
    rows_per_shard: int = 4096,
) -> int:
    """Write batches as ``part-NNNNN.parquet`` shards into `directory`, replacing it atomically.

    Args:
        batches: tables with the columns of `schema`; absent nullable columns become null.
        directory: folder of the shards.
        schema: declared schema; every batch is cast to it.
        rows_per_shard: rows of a full shard.

    Returns:
        Number of rows written.
    """
    rows = 0
    with atomic_directory(directory) as folder:
        pending: list[pa.Table] = []
        pending_rows = shard = 0

        def flush(table: pa.Table) -> None:
            nonlocal shard
            path = folder / f"part-{shard:05d}.parquet"
            pq.write_table(table, path, compression="zstd", write_batch_size=_PAGE_ROWS)
            shard += 1

        for batch in batches:
            table = conform(batch, schema)
            rows += table.num_rows
            pending.append(table)
            pending_rows += table.num_rows
            while pending_rows >= rows_per_shard:
                merged = pa.concat_tables(pending)
                flush(merged.slice(0, rows_per_shard))
                pending = [merged.slice(rows_per_shard)]
                pending_rows = pending[0].num_rows
        if pending_rows or shard == 0:
            flush(pa.concat_tables(pending) if pending else schema.empty_table())
    return rows


def conform(batch: pa.Table | pd.DataFrame, schema: pa.Schema) -> pa.Table:
    """Cast a batch to `schema`: columns selected and ordered, absent ones null."""
    if isinstance(batch, pd.DataFrame):
        absent = [field for field in schema if field.name not in batch.columns]
        kept = pa.schema([field for field in schema if field.name in batch.columns])
        batch = pa.Table.from_pandas(batch[kept.names], schema=kept, preserve_index=False)
    else:
        absent = [field for field in schema if field.name not in batch.column_names]
    for field in absent:
        batch = batch.append_column(field.name, pa.nulls(batch.num_rows, field.type))
    return batch.select(schema.names).cast(schema)


_HUB_SHARD = re.compile(r"(.+)-(\d{5})-of-(\d{5})(?:-[0-9a-f]+)?\.parquet")


def shard_paths(path: Path) -> list[Path]:
    """The Parquet files of a table, in order; see `find_shards`.

    Raises:
        FacsimileError: there is no table, or a shard is missing.
    """
    files = find_shards(path)
    if not files:
        raise FacsimileError(f"{path}: no Parquet table here")
    return files


def find_shards(path: Path) -> list[Path]:
    """The Parquet files of a table; empty if `path` is not a table.

    Args:
        path: one file, or a folder with ``part-*.parquet``, or with shards of the Hugging Face hub
            in itself or in ``data``: ``train-00000-of-00002.parquet``, ``train.parquet`` or
            ``train/*.parquet``, of any split.

    Raises:
        FacsimileError: a shard is missing.
    """
    path = Path(path)
    files = [path] if path.is_file() else sorted(path.glob("part-*.parquet"))
    for folder in (path, path / "data"):
        files = files or _numbered_shards(folder)
    for folder in (path, path / "data"):
        files = files or _shards_of_splits(folder)
    return files


def shard_split(file: Path) -> str | None:
    """The split in the name of a shard, or else of its folder; None if in neither."""
    match = _HUB_SHARD.fullmatch(file.name)
    names = (match[1] if match else file.stem, file.parent.name)
    found = (SPLIT_NAMES.get(name.lower()) for name in names)
    return next((split for split in found if split), None)


def _shards_of_splits(folder: Path) -> list[Path]:
    """``train.parquet`` and ``train/*.parquet``, of any split."""
    entries = sorted(folder.iterdir()) if folder.is_dir() else []
    named = [entry for entry in entries if SPLIT_NAMES.get(entry.stem.lower())]
    files = [entry for entry in named if entry.is_file() and entry.suffix == ".parquet"]
    return files or [
        file for entry in named if entry.is_dir() for file in sorted(entry.glob("*.parquet"))
    ]


def _numbered_shards(folder: Path) -> list[Path]:
    """Files such as ``train-00000-of-00002.parquet``. Raises FacsimileError if one is missing."""
    found: dict[tuple[str, int], dict[int, Path]] = {}
    for file in sorted(folder.glob("*-of-*.parquet")):
        if match := _HUB_SHARD.fullmatch(file.name):
            found.setdefault((match[1], int(match[3])), {})[int(match[2])] = file
    for (name, count), files in found.items():
        if missing := [index for index in range(count) if index not in files]:
            raise FacsimileError(
                f"{folder}: shard {name}-{missing[0]:05d}-of-{count:05d}.parquet is missing"
            )
    return [file for files in found.values() for file in files.values()]


@contextmanager
def _open(file: Path, columns: Sequence[str] | None) -> Iterator[pq.ParquetFile]:
    """Open a Parquet file that must have `columns`; converts errors to FacsimileError."""
    try:
        # By default, Arrow reads all images of a row group before it returns the first.
        with pq.ParquetFile(file, pre_buffer=False, buffer_size=_READ_BUFFER) as parquet:
            missing = set(columns or ()) - set(parquet.schema_arrow.names)
            if missing:
                raise FacsimileError(f"{file}: missing column {', '.join(sorted(missing))}")
            yield parquet
    except MemoryError:  # not a fault of the file, although Arrow's is an ArrowException
        raise
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        why = " ".join(str(error).split())
        raise FacsimileError(f"{file}: not a readable Parquet file ({why})") from error


@contextmanager
def open_parquet(file: Path) -> Iterator[pq.ParquetFile]:
    """Open a Parquet file. Raises FacsimileError if it is unreadable, also inside the context."""
    with _open(file, None) as parquet:
        yield parquet


def column_names(file: Path) -> list[str]:
    """Column names of a Parquet file. Raises FacsimileError if it is unreadable."""
    with open_parquet(file) as parquet:
        return parquet.schema_arrow.names


def read_table(path: Path, columns: Sequence[str] | None = None) -> pd.DataFrame:
    """Read a table (file or folder of shards) into pandas; list columns become numpy arrays.

    Raises:
        FacsimileError: no table, an unreadable file or a missing column.
    """
    frames = []
    for file in shard_paths(path):
        with _open(file, columns) as parquet:
            frames.append(parquet.read(columns).to_pandas())
    return pd.concat(frames, ignore_index=True)


def iter_table(
    path: Path, batch_size: int, columns: Sequence[str] | None = None
) -> Iterator[pd.DataFrame]:
    """Stream a table in batches of at most `batch_size` rows, in file order.

    Raises:
        FacsimileError: no table, an unreadable file or a missing column.
    """
    for file in shard_paths(path):
        with _open(file, columns) as parquet:
            for batch in parquet.iter_batches(batch_size, columns=columns):
                yield batch.to_pandas()


def iter_rows(
    path: Path,
    batch_size: int,
    sample_ids: Collection[str],
    columns: Sequence[str] | None = None,
) -> Iterator[pa.Table]:
    """Stream the rows of a table with these ids, in batches of at most `batch_size`, in file order.

    Args:
        path, batch_size: as in `iter_table`.
        sample_ids: ids of the rows; those that the table does not have are ignored.
        columns: columns to read, with sample_id; None for all.

    Raises:
        FacsimileError: no table, an unreadable file or a missing column.
    """
    wanted = frozenset(sample_ids)
    for file in shard_paths(path):
        with _open(file, columns) as parquet:
            for batch in parquet.iter_batches(batch_size, columns=columns):
                chosen = [name in wanted for name in batch["sample_id"].to_pylist()]
                if any(chosen):
                    yield pa.Table.from_batches([batch.filter(pa.array(chosen))])


def read_rows(path: Path, sample_ids: Collection[str], columns: Sequence[str]) -> pd.DataFrame:
    """Rows of a table with these ids, in file order; the images of others are not held in memory.

    Args:
        path, sample_ids: as in `iter_rows`.
        columns: columns to read, with sample_id.
    """
    parts = [rows.to_pandas() for rows in iter_rows(path, _BATCH, sample_ids, columns)]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=list(columns))


def read_located(path: Path, columns: Sequence[str]) -> pd.DataFrame:
    """`read_faces`, and ``table``: where the images of the faces are (see `PictureStore`)."""
    return read_faces(path, columns).assign(table=str(path))


def read_faces(path: Path, columns: Sequence[str] | None = None) -> pd.DataFrame:
    """Read a face table and check the columns read against the face schema."""
    return validate_faces(read_table(path, columns), str(path))


def encode_png(image: np.ndarray) -> bytes:
    """PNG bytes of one uint8 (H, W, 3) image."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def image_structs(images: np.ndarray, sample_ids: Sequence[str]) -> list[dict[str, object]]:
    """Values of the ``image`` column for uint8 (N, H, W, 3) images."""
    return [
        {"bytes": encode_png(image), "path": f"{sample_id}.png"}
        for image, sample_id in zip(images, sample_ids, strict=True)
    ]


def decode_images(faces: pd.DataFrame, source: str = "faces") -> np.ndarray:
    """Images of a face table as uint8 (N, H, W, 3).

    Raises:
        FacsimileError: an image is unusable (see `open_image`), or its size differs from the first
            one's.
    """
    images: list[np.ndarray] = []
    for sample_id, struct in zip(faces["sample_id"], faces["image"], strict=True):
        try:
            with open_image(struct["bytes"]) as picture:
                image = np.asarray(picture.convert("RGB"))
        except FacsimileError as error:
            raise FacsimileError(f"{source}: {sample_id}: image {error}") from error
        if images and image.shape != images[0].shape:
            expected, found = images[0].shape[:2], image.shape[:2]
            reason = f"image is {found}, but others are {expected}"
            raise FacsimileError(f"{source}: {sample_id}: {reason}")
        images.append(image)
    return np.stack(images) if images else np.empty((0, 0, 0, 3), np.uint8)


def to_tensor(images: np.ndarray, device: "torch.device | str" = "cpu") -> "torch.Tensor":
    """uint8 (N, H, W, 3) → float32 (N, 3, H, W) in [-1, 1]; converted on the device."""
    import torch

    # Torch warns of arrays that are not writable, although nothing is written here.
    writable = np.require(images, requirements=["C", "W"])
    tensor = torch.from_numpy(writable).to(device).permute(0, 3, 1, 2)
    return tensor.float().div_(127.5).sub_(1.0)


def to_uint8(images: "torch.Tensor") -> np.ndarray:
    """float (N, 3, H, W) in [-1, 1] → uint8 (N, H, W, 3), clipped and rounded."""
    import torch

    pixels = images.float().clamp(-1, 1).add(1).mul(127.5).round().to(torch.uint8)
    return pixels.permute(0, 2, 3, 1).cpu().numpy()


def evenly_spaced(faces: pd.DataFrame, count: int) -> pd.DataFrame:
    """At most `count` rows, evenly spaced over the table."""
    return faces.iloc[np.linspace(0, len(faces) - 1, min(count, len(faces))).astype(int)]
