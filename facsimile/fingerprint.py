"""Fingerprint user files, one line per file, to detect later whether and where they changed.

A line holds the name, the size in bytes and the state of a file, separated by tabs. The state is
the SHA-256 of the contents (tables, label files and code; all files with `full`), the modification
time in ns (images, videos and large tables), or ``absent``. Lines are generated one by one in an
order that depends only on names, so memory does not grow with the number of files. Images are not
opened.

Imports little, because it runs before every stage: no torch, and pyarrow only for Parquet tables.
"""

import codecs
import csv
import hashlib
import os
import sqlite3
import stat
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice, zip_longest
from pathlib import Path

from facsimile.files import is_parquet

HASHED = (".csv", ".tsv", ".txt", ".parquet")
"""Suffixes of files whose contents are hashed; Parquet files only up to ``HASHED_BYTES``."""

HASHED_BYTES = 64 << 20

ABSENT = "absent"

# Files that operating systems and Python create. Names that begin with a dot are ignored as well.
_JUNK = {"thumbs.db", "desktop.ini", "__pycache__"}

_SAMPLE_ROWS = 200
_LONGEST_NAME = 1024
_ESCAPES = str.maketrans({"\t": "\\t", "\n": "\\n", "\r": "\\r"})


class FileHasher:
    """SHA-256 of file contents, with a cache for files that have not changed.

    Args:
        store: SQLite file of the cache; None disables caching.
    """

    def __init__(self, store: Path | None = None) -> None:
        self._store = None
        if store is not None:
            store.parent.mkdir(parents=True, exist_ok=True)
            self._store = sqlite3.connect(store, timeout=30, isolation_level=None)
            self._store.execute(
                "CREATE TABLE IF NOT EXISTS hashes (path TEXT PRIMARY KEY, state TEXT, digest TEXT)"
            )

    def __call__(self, path: Path, status: os.stat_result) -> str:
        if self._store is None:
            return _digest(path)
        key = os.fsencode(path.absolute())
        # ctime catches changes that keep size and modification time.
        state = f"{status.st_size} {status.st_mtime_ns} {status.st_ctime_ns} {status.st_ino}"
        found = self._store.execute(
            "SELECT digest FROM hashes WHERE path = ? AND state = ?", (key, state)
        ).fetchone()
        if found:
            return found[0]
        digest = _digest(path)
        self._store.execute("INSERT OR REPLACE INTO hashes VALUES (?, ?, ?)", (key, state, digest))
        return digest

    def close(self) -> None:
        if self._store is not None:
            self._store.close()


@contextmanager
def open_hasher(store: Path | None) -> Iterator[FileHasher]:
    """A `FileHasher` that is closed at the end of the block."""
    hasher = FileHasher(store)
    try:
        yield hasher
    finally:
        hasher.close()


def fingerprint_files(root: Path, full: bool, hasher: FileHasher) -> Iterator[str]:
    """Lines of a dataset.

    Args:
        root: a folder (all its files, and files elsewhere that its Parquet tables refer to) or a
            table (the table and the files it refers to).
        full: hash the contents of all files, which reads them completely.
        hasher: hashes file contents.
    """
    if not root.is_dir():
        yield _line(root.name, root, full, hasher, hashed=True)
        for name in _referenced_files(root):
            yield _line(name, _resolve(root.parent, name), full, hasher)
        return
    tables = []
    for name, entry in _walk(root):
        if name.endswith(".parquet") and name.count("/") < 2:
            tables.append(Path(entry.path))
        yield _line(name, entry, full, hasher)
    for table in tables:
        for name in _referenced_files(table):
            path = _resolve(table.parent, name)
            if not Path(os.path.normpath(path)).is_relative_to(root):
                yield _line(name, path, full, hasher)


def fingerprint_code(module: str, base: Path) -> Iterator[str]:
    """Lines of all files of a module's top-level package; none if it is not in `base`.

    Args:
        module: ``package.module``.
        base: folder it is imported from.
    """
    package = module.split(".")[0]
    files = [base / f"{package}.py", *sorted((base / package).rglob("*.py"))]
    for path in files:
        if path.is_file():
            name = path.relative_to(base).as_posix()
            yield _line(name, path, True, FileHasher())


def difference(before: Iterable[str], now: Iterable[str]) -> str:
    """Short description of how two fingerprints differ; empty if they are equal.

    Examples: ``faces.csv changed``; ``anna/007.png added``; ``anna/001.png and 3 more changed``.
    """
    changed: list[str] = []
    for old, new in zip_longest(before, now):
        if old == new:
            continue
        names = [_name(line) if line is not None else None for line in (old, new)]
        if names[0] == names[1]:
            changed.append(names[0])
            if len(changed) == 1 and old.split("\t")[2] == ABSENT:
                return f"{names[0]} added"
            if len(changed) == 1 and new.split("\t")[2] == ABSENT:
                return f"{names[0]} removed"
            continue
        if not changed:
            return _added_or_removed(*names)
        break
    if len(changed) > 1:
        return f"{changed[0]} and {len(changed) - 1:,} more changed"
    return f"{changed[0]} changed" if changed else ""


def _added_or_removed(before: str | None, now: str | None) -> str:
    """Description of the first position at which the names of two fingerprints differ."""
    if before is None or (now is not None and _sort_key(now) < _sort_key(before)):
        return f"{now} added"
    return f"{before} removed"


def _sort_key(name: str) -> list[str]:
    return name.split("/")


def _name(line: str) -> str:
    return line.split("\t")[0]


def _line(
    name: str, path: Path | os.DirEntry, full: bool, hasher: FileHasher, hashed: bool = False
) -> str:
    """Line of one file, without a line break.

    Args:
        name: name to show.
        path: the file.
        full: hash the contents regardless of type and size.
        hasher: hashes file contents.
        hashed: hash the contents regardless of the suffix.
    """
    shown = name if name.isprintable() else name.translate(_ESCAPES)
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            return f"{shown}\t0\t{ABSENT}"
        lower = name.lower()
        small = status.st_size <= HASHED_BYTES or not lower.endswith(".parquet")
        if full or ((hashed or lower.endswith(HASHED)) and small):
            return f"{shown}\t{status.st_size}\tsha256:{hasher(Path(path), status)}"
    except (OSError, ValueError):  # ValueError: the name is not a valid file name
        return f"{shown}\t0\t{ABSENT}"
    return f"{shown}\t{status.st_size}\tmtime:{status.st_mtime_ns}"


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _walk(
    folder: Path, prefix: str = "", parents: tuple[tuple[int, int], ...] = ()
) -> Iterator[tuple[str, os.DirEntry]]:
    """All files in a folder, sorted, with names relative to it; symbolic links are followed."""
    status = folder.stat()
    inode = (status.st_dev, status.st_ino)
    if inode in parents:  # a link to a parent folder
        return
    with os.scandir(folder) as entries:
        found = sorted(entries, key=lambda entry: entry.name)
    for entry in found:
        if entry.name.startswith(".") or entry.name.lower() in _JUNK:
            continue
        if entry.is_dir():
            yield from _walk(Path(entry.path), f"{prefix}{entry.name}/", (*parents, inode))
        else:
            yield f"{prefix}{entry.name}", entry


def _referenced_files(table: Path) -> Iterator[str]:
    """File names in a table, without consecutive duplicates.

    Reads the columns in which at least one of the first rows names an existing file, and any column
    called ``image_path``.
    """
    try:
        read = _parquet_rows if is_parquet(table) else _text_rows
        header, rows = read(table)
        sample = list(islice(rows, _SAMPLE_ROWS))
        columns = [
            position
            for position, name in enumerate(header)
            if "".join(filter(str.isalpha, name.lower())) == "imagepath"
            or any(_is_file(table.parent, row[position]) for row in sample if position < len(row))
        ]
        last = [""] * len(header)
        for row in read(table)[1] if columns else ():
            for column in columns:
                value = row[column] if column < len(row) else ""
                if value and value != last[column]:
                    yield value
                    last[column] = value
    except (OSError, csv.Error, ValueError):
        # The stage `ingest` reports unreadable tables; here their contents are hashed anyway.
        return


def _text_rows(table: Path) -> tuple[list[str], Iterator[list[str]]]:
    """Header and rows of a text table; the delimiter is the most frequent one in the header."""

    def rows() -> Iterator[list[str]]:
        with table.open(encoding=encoding, errors="surrogateescape", newline="") as file:
            for row in csv.reader(file, delimiter=delimiter):
                yield [value.strip() for value in row]

    with table.open("rb") as file:
        start = file.read(1 << 16)
    wide = start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    encoding = "utf-16" if wide else "utf-8-sig"
    lines = start.decode(encoding, "replace").splitlines()
    first = next((line for line in lines if line.strip()), "")
    delimiter = max(",;\t|", key=first.count)
    found = rows()
    header = next((row for row in found if any(row)), [])
    return header, found


def _parquet_rows(table: Path) -> tuple[list[str], Iterator[list[str]]]:
    """Header and rows of the text columns of a Parquet table, with paths of embedded images."""
    import pyarrow as pa  # slow to import, and most projects have no Parquet tables
    import pyarrow.parquet as pq

    def rows() -> Iterator[list[str]]:
        with pq.ParquetFile(table) as file:
            for batch in file.iter_batches(4096, columns=names):
                columns = [_texts(column) for column in batch.columns]
                yield from map(list, zip(*columns, strict=True))

    def _texts(column: pa.Array) -> Sequence[str]:
        values = column.field("path") if pa.types.is_struct(column.type) else column
        return [value or "" for value in values.to_pylist()]

    try:
        with pq.ParquetFile(table) as file:
            schema = file.schema_arrow
    except pa.ArrowException as error:
        raise ValueError(str(error)) from error
    names, header = [], []
    for field in schema:
        if pa.types.is_string(field.type) or pa.types.is_large_string(field.type):
            names.append(field.name)
            header.append(field.name)
        elif pa.types.is_struct(field.type) and "path" in [inner.name for inner in field.type]:
            names.append(f"{field.name}.path")
            header.append(field.name)
    return header, rows()


def _is_file(folder: Path, name: str) -> bool:
    if not name or len(name) > _LONGEST_NAME or "\0" in name:
        return False
    return _resolve(folder, name).is_file()


def _resolve(folder: Path, name: str) -> Path:
    """The file a table refers to; accepts backslashes and other Unicode normal forms."""
    spellings = [name, name.replace("\\", "/")]
    if not name.isascii():
        spellings += [unicodedata.normalize(form, spellings[1]) for form in ("NFC", "NFD")]
    paths = [folder / spelling for spelling in dict.fromkeys(spellings)]
    if len(paths) == 1:
        return paths[0]
    return next((path for path in paths if os.path.lexists(path)), paths[0])
