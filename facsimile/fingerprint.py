"""What files of your own look like, in lines: to tell later whether, and where, they have changed.

A line is a file: its name, its size in bytes, and its state, separated by tabs. The state is the
hash of its contents (tables, label files, code; with `full` all) or its time of change in ns
(pictures, videos, large tables), or that it is absent. Lines come one by one, in an order that
depends on names alone: nothing is held, however many files there are, and no picture is opened.

Imports little, because it runs before every stage: no torch, and pyarrow for Parquet tables only.
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

HASHED = (".csv", ".tsv", ".txt", ".parquet")
"""Endings of files whose contents are hashed, up to ``HASHED_BYTES`` of Parquet."""

HASHED_BYTES = 64 << 20

ABSENT = "absent"

# What systems leave wherever somebody looks; names that begin with a dot are passed over, too.
_JUNK = {"thumbs.db", "desktop.ini", "__pycache__"}

_SAMPLE_ROWS = 200
_LONGEST_NAME = 1024
_ESCAPES = str.maketrans({"\t": "\\t", "\n": "\\n", "\r": "\\r"})


class Hashes:
    """SHA-256 of file contents; of files that have not changed, from a store on this machine.

    Args:
        store: SQLite file; None: nothing is stored.
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
        # A change that keeps size and time of change is seen by the time of the file's entry.
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
def open_hashes(store: Path | None) -> Iterator[Hashes]:
    """`Hashes` that are closed at the end."""
    hashes = Hashes(store)
    try:
        yield hashes
    finally:
        hashes.close()


def look(root: Path, full: bool, hashes: Hashes) -> Iterator[str]:
    """Lines of a dataset.

    Args:
        root: a folder: all files in it, and files elsewhere that its Parquet tables name. Or a
            table: that file, and the files that it names.
        full: hash the contents of all files, and so read them whole.
        hashes: of contents.
    """
    if not root.is_dir():
        yield _line(root.name, root, full, hashes, hashed=True)
        for name in _named(root):
            yield _line(name, _spelt(root.parent, name), full, hashes)
        return
    tables = []
    for name, entry in _walk(root):
        if name.endswith(".parquet") and name.count("/") < 2:
            tables.append(Path(entry.path))
        yield _line(name, entry, full, hashes)
    for table in tables:
        for name in _named(table):
            path = _spelt(table.parent, name)
            if not Path(os.path.normpath(path)).is_relative_to(root):
                yield _line(name, path, full, hashes)


def look_at_code(module: str, base: Path) -> Iterator[str]:
    """Lines of a module, or of all of its package; none where `base` has no such module.

    Args:
        module: ``package.module``.
        base: folder it is imported from.
    """
    package = module.split(".")[0]
    files = [base / f"{package}.py", *sorted((base / package).rglob("*.py"))]
    for path in files:
        if path.is_file():
            name = path.relative_to(base).as_posix()
            yield _line(name, path, True, Hashes())


def difference(before: Iterable[str], now: Iterable[str]) -> str:
    """How two lists of lines differ, in a few words; empty where they do not.

    ``faces.csv changed``; ``anna/007.png added``; ``anna/001.png and 3 more changed``.
    """
    changed: list[str] = []
    for one, other in zip_longest(before, now):
        if one == other:
            continue
        names = [_name(line) if line is not None else None for line in (one, other)]
        if names[0] == names[1]:
            changed.append(names[0])
            if len(changed) == 1 and one.split("\t")[2] == ABSENT:
                return f"{names[0]} added"
            if len(changed) == 1 and other.split("\t")[2] == ABSENT:
                return f"{names[0]} is gone"
            continue
        if not changed:
            return _moved(*names)
        break
    if len(changed) > 1:
        return f"{changed[0]} and {len(changed) - 1:,} more changed"
    return f"{changed[0]} changed" if changed else ""


def _moved(before: str | None, now: str | None) -> str:
    """What it means that another file comes next than before."""
    if before is None or (now is not None and _order(now) < _order(before)):
        return f"{now} added"
    return f"{before} is gone"


def _order(name: str) -> list[str]:
    return name.split("/")


def _name(line: str) -> str:
    return line.split("\t")[0]


def _line(
    name: str, path: Path | os.DirEntry, full: bool, hashes: Hashes, hashed: bool = False
) -> str:
    """A file as a line, without an end.

    Args:
        name: in the line.
        path: file.
        full: hash the contents whatever it is.
        hashes: of contents.
        hashed: hash the contents whatever the ending.
    """
    shown = name if name.isprintable() else name.translate(_ESCAPES)
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            return f"{shown}\t0\t{ABSENT}"
        ending = name.lower()
        small = status.st_size <= HASHED_BYTES or not ending.endswith(".parquet")
        if full or ((hashed or ending.endswith(HASHED)) and small):
            return f"{shown}\t{status.st_size}\tsha256:{hashes(Path(path), status)}"
    except (OSError, ValueError):  # a name that no file can have is a ValueError
        return f"{shown}\t0\t{ABSENT}"
    return f"{shown}\t{status.st_size}\tmtime:{status.st_mtime_ns}"


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _walk(
    folder: Path, prefix: str = "", above: tuple[tuple[int, int], ...] = ()
) -> Iterator[tuple[str, os.DirEntry]]:
    """All files in a folder by name, relative and with slashes; links are followed."""
    status = folder.stat()
    here = (status.st_dev, status.st_ino)
    if here in above:  # a link to a folder that holds it
        return
    with os.scandir(folder) as entries:
        found = sorted(entries, key=lambda entry: entry.name)
    for entry in found:
        if entry.name.startswith(".") or entry.name.lower() in _JUNK:
            continue
        if entry.is_dir():
            yield from _walk(Path(entry.path), f"{prefix}{entry.name}/", (*above, here))
        else:
            yield f"{prefix}{entry.name}", entry


def _named(table: Path) -> Iterator[str]:
    """Names of files in a table, each once in a row; in columns some of whose values are files.

    A column ``image_path`` counts even if none of them is there.
    """
    try:
        with table.open("rb") as file:
            is_parquet = file.read(4) == b"PAR1"
        read = _parquet_rows if is_parquet else _text_rows
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
        # What cannot be read is told when it is ingested; its contents are hashed all the same.
        return


def _text_rows(table: Path) -> tuple[list[str], Iterator[list[str]]]:
    """Header and rows of text values, separated by what the header has most of."""

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
    """Columns and rows of the text in a Parquet file, paths of its images included."""
    import pyarrow as pa  # takes a while, and most projects have no such table
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
    return _spelt(folder, name).is_file()


def _spelt(folder: Path, name: str) -> Path:
    """The file that a table means, which may be of another system: backslashes, other unicode."""
    spellings = [name, name.replace("\\", "/")]
    if not name.isascii():
        spellings += [unicodedata.normalize(form, spellings[1]) for form in ("NFC", "NFD")]
    paths = [folder / spelling for spelling in dict.fromkeys(spellings)]
    if len(paths) == 1:
        return paths[0]
    return next((path for path in paths if os.path.lexists(path)), paths[0])
