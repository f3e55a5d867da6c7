"""Read text tables: CSV with any common delimiter, as spreadsheets and face tools write it."""

import codecs
import csv
import io
import re
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from facsimile.datasets.rejects import Rejects
from facsimile.datasets.table_columns import NUMBERS, TableColumns, find_columns, resembles_ours
from facsimile.errors import FacsimileError
from facsimile.faces.schema import Violation

SUFFIXES = (".csv", ".tsv", ".tab", ".txt")
"""Suffixes of files that are read as text."""

DELIMITERS = (",", ";", "\t", "|")

_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_DECIMAL_COMMA = re.compile(r"^([+-]?\d*),(\d+(?:[eE][+-]?\d+)?)$")


def read_delimited(
    file: Path, required: Sequence[str], rejects: Rejects
) -> tuple[pd.DataFrame, TableColumns]:
    """Read a table as text (null if blank), with ``file`` and ``line`` of each row.

    The delimiter is the one of ``DELIMITERS`` that yields most of our columns in the header, unless
    the first line is ``sep=;``. If it is not a comma, numbers may have decimal commas.

    Args:
        file: UTF-8, or UTF-16 with a byte order mark.
        required: columns that the table must have.
        rejects: receives lines with too many or too few values.

    Raises:
        FacsimileError: the file is unreadable or empty, or see `find_columns`.
    """
    text, skipped = _decode(file), 0
    if declared := re.match(r"sep=(.)\r?\n", text):
        text, skipped = text[declared.end() :], 1
    delimiter = declared[1] if declared else _delimiter(text)
    # Not pandas, which loses line numbers and guesses types (subject 001 would become 1).
    reader = csv.reader(
        io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True, strict=True
    )
    header: list[str] = []
    columns = TableColumns({})
    indices: list[int] = []
    rows: list[list[str | None]] = []
    lines: list[int] = []
    violations: list[Violation] = []
    line = 1 + skipped
    try:
        for values in reader:
            values = [value.strip() or None for value in values]
            if any(values) and not header:
                header = [value or "" for value in values]
                columns = find_columns(header, required, file)
                indices = [header.index(source) for source in columns.taken.values()]
            elif any(values) and len(values) == len(header):
                rows.append([values[index] for index in indices])
                lines.append(line)
            elif any(values):
                reason = f"has {len(values)} values, the header {len(header)}"
                violations.append(Violation(str(file), line, None, None, reason))
            line = reader.line_num + 1 + skipped
    except csv.Error as error:
        raise FacsimileError(f"{file}: line {line}: not readable as CSV ({error})") from error
    if not header:
        raise FacsimileError(f"{file}: empty file")
    rejects.add(violations)
    table = pd.DataFrame(rows, columns=list(columns.taken), dtype="str")
    if delimiter != ",":
        table = decimal_points(table)
    return table.assign(file=str(file), line=lines), columns


def decimal_points(table: pd.DataFrame) -> pd.DataFrame:
    """Replace decimal commas by points in text values of numeric columns."""
    replaced = {
        name: table[name].str.replace(_DECIMAL_COMMA, r"\1.\2", regex=True)
        for name in table
        if name in NUMBERS and pd.api.types.is_string_dtype(table[name])
    }
    return table.assign(**replaced)


def _decode(file: Path) -> str:
    try:
        content = file.read_bytes()
    except OSError as error:
        raise FacsimileError(f"{file}: not readable ({error.strerror})") from error
    encoding = "utf-16" if content.startswith(_UTF_16) else "utf-8-sig"
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as error:
        if encoding == "utf-16":
            raise FacsimileError(f"{file}: not readable as UTF-16 text ({error.reason})") from error
        line = content.count(b"\n", 0, error.start) + 1
        found = content[error.start : error.start + 1].hex()
        raise FacsimileError(
            f"{file}: line {line}: byte 0x{found} is not UTF-8 text; save the file as UTF-8"
        ) from error


def _delimiter(text: str) -> str:
    header = next((line for line in text.splitlines() if line.strip()), "")

    def ours(delimiter: str) -> int:
        # Not strict: errors in the line are reported when the table is read.
        names = next(csv.reader([header], delimiter=delimiter, skipinitialspace=True), [])
        return sum(map(resembles_ours, names))

    return max(DELIMITERS, key=ours)
