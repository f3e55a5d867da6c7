"""Read labels from Parquet tables, converting stored types to numbers and text."""

import json
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import types

from facsimile.datasets.delimited import decimal_points
from facsimile.datasets.table_columns import FOUND, NUMBERS, TableColumns, find_columns
from facsimile.errors import FacsimileError
from facsimile.faces.tables import open_parquet, shard_paths, shard_split


def read_shards(
    path: Path, required: Sequence[str], others: Sequence[str] = ()
) -> tuple[pd.DataFrame, TableColumns]:
    """Read the labels of a table, with ``file`` and ``line`` (the row index) of each face.

    Numbers may be stored as text, and text as integers or as class labels of Hugging Face
    `datasets`. Without a column ``split``, the split comes from the names of the shards, unless all
    are ``train``, as the hub names a dataset without splits.

    Args:
        path: file or folder of shards.
        required: columns that every shard must have; ``split`` may come from shard names instead.
        others: further known columns, which are read elsewhere.

    Raises:
        FacsimileError: there is no table, a file is unreadable, a column has the wrong type, shards
            differ in their OpenFace columns, or see `find_columns`.
    """
    tables: list[pd.DataFrame] = []
    first = TableColumns({})
    splits = _named_splits(path)
    needed = [name for name in required if name != "split" or not splits]
    for file in shard_paths(path):
        with open_parquet(file) as parquet:
            schema = parquet.schema_arrow
            columns = find_columns(schema.names, needed, file, others)
            table = parquet.read(list(columns.taken.values()))
            values = {
                name: _values(table.column(source), name, schema.field(source), schema, file)
                for name, source in columns.taken.items()
            }
            rows = pd.DataFrame(values, index=range(table.num_rows))
        if "split" not in rows and splits.get(file):
            rows["split"] = splits[file]
        tables.append(decimal_points(rows).assign(file=str(file), line=range(len(rows))))
        first = columns if len(tables) == 1 else first
        if (columns.openface, columns.presence) != (first.openface, first.presence):
            raise FacsimileError(f"{file}: OpenFace columns differ from {tables[0].file[0]}")
    return pd.concat(tables, ignore_index=True), first


def _named_splits(path: Path) -> dict[Path, str | None]:
    """Shard → split in its name; None for all shards if the hub's dataset has no splits."""
    if path.is_file():
        return {}
    splits = {file: shard_split(file) for file in shard_paths(path)}
    if None in splits.values():
        return {}
    return dict.fromkeys(splits) if set(splits.values()) == {"train"} else splits


def image_paths(file: Path, column: str) -> list[str | None]:
    """Image path of each row of a file; None if the image is stored in the file.

    Raises:
        FacsimileError: the column holds neither bytes nor paths.
    """
    with open_parquet(file) as parquet:
        kind = parquet.schema_arrow.field(column).type
        fields = {field.name: field.type for field in kind} if types.is_struct(kind) else {}
        # A field or column without any value has the null type.
        content, name = (fields.get(key, pa.null()) for key in ("bytes", "path"))
        if types.is_null(kind) or _is_binary(kind):
            return [None] * parquet.metadata.num_rows
        if _is_text(kind):
            return parquet.read([column]).column(column).to_pylist()
        if not (_is_binary(content) or types.is_null(content)) or not (
            _is_text(name) or (types.is_null(name) and "bytes" in fields)
        ):
            raise _wrong_kind(file, column, kind, "a struct of bytes and path, bytes or a path")
        if types.is_null(name):
            return [None] * parquet.metadata.num_rows
        if types.is_null(content):
            return _child(parquet.read([f"{column}.path"]), column, "path").to_pylist()
        paths: list[str | None] = []
        for group in range(parquet.num_row_groups):
            paths += _group_paths(parquet, group, column)
        return paths


def _group_paths(parquet: pq.ParquetFile, group: int, column: str) -> list[str | None]:
    """Part of `image_paths`; reads the bytes only if statistics do not count their nulls."""
    metadata = parquet.metadata.row_group(group)
    chunks = [metadata.column(index) for index in range(metadata.num_columns)]
    (chunk,) = (chunk for chunk in chunks if chunk.path_in_schema == f"{column}.bytes")
    counted = chunk.statistics if chunk.is_stats_set else None
    if counted is not None and counted.has_null_count and counted.null_count == 0:
        return [None] * metadata.num_rows
    paths = _child(parquet.read_row_group(group, [f"{column}.path"]), column, "path").to_pylist()
    if counted is not None and counted.has_null_count and counted.null_count == metadata.num_rows:
        return paths
    content = _child(parquet.read_row_group(group, [f"{column}.bytes"]), column, "bytes")
    absent = content.is_null().to_pylist()
    return [path if none else None for path, none in zip(paths, absent, strict=True)]


def _child(table: pa.Table, column: str, name: str) -> pa.ChunkedArray:
    # Not `flatten`, which loses the information that a whole struct is null.
    chunks = [pa.compute.struct_field(chunk, name) for chunk in table.column(column).chunks]
    return pa.chunked_array(chunks, table.schema.field(column).type.field(name).type)


def _values(
    column: pa.ChunkedArray, name: str, field: pa.Field, schema: pa.Schema, file: Path
) -> pd.Series:
    """Convert a column to the type that `name` needs: floats, text, or values of a boolean."""
    if types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    kind = column.type
    if types.is_null(kind):
        column = column.cast(pa.string())
    elif _is_text(kind) or _is_binary(kind):  # Spark writes text as bytes
        try:
            column = column.cast(pa.string())
            column.validate(full=True)
        except pa.ArrowInvalid as error:
            raise _wrong_kind(file, field.name, kind, "UTF-8 text") from error
    elif name in (*NUMBERS, FOUND):
        if not (_is_number(kind) or types.is_boolean(kind)):
            raise _wrong_kind(file, field.name, kind, "numbers")
        column = column.cast(pa.float64(), safe=False)
    elif name == "seed" and types.is_integer(kind):
        return column.to_pandas(types_mapper={kind: pd.Int64Dtype()}.get)
    elif name == "au_presence_only":
        if not (types.is_boolean(kind) or types.is_integer(kind) or types.is_floating(kind)):
            raise _wrong_kind(file, field.name, kind, "true or false")
    elif types.is_integer(kind):
        names = _class_names(schema, field.name)
        if names is None:
            column = column.cast(pa.string())
        else:
            known = dict(enumerate(names))
            named = [known.get(value) for value in column.to_pylist()]
            column = pa.chunked_array([named], pa.string())
    else:
        raise _wrong_kind(file, field.name, kind, "text")
    return column.to_pandas()


def _class_names(schema: pa.Schema, column: str) -> list[str] | None:
    """Class names of an integer column from the metadata of Hugging Face `datasets`."""
    try:
        noted = json.loads((schema.metadata or {})[b"huggingface"])
        return list(noted["info"]["features"][column]["names"])
    except (KeyError, TypeError, ValueError):
        return None


def _is_text(kind: pa.DataType) -> bool:
    return types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind)


def _is_binary(kind: pa.DataType) -> bool:
    return types.is_binary(kind) or types.is_large_binary(kind) or types.is_binary_view(kind)


def _is_number(kind: pa.DataType) -> bool:
    return types.is_integer(kind) or types.is_floating(kind) or types.is_decimal(kind)


def _wrong_kind(file: Path, column: str, kind: pa.DataType, expected: str) -> FacsimileError:
    return FacsimileError(f"{file}: column {column} holds {kind}, expected {expected}")
