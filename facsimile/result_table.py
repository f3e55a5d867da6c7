"""Tables of measured numbers, for HTML reports and Markdown pages."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Table:
    """Column names, and rows of texts, numbers and None."""

    columns: list[str]
    rows: list[list[Any]]


def interval_text(value: Mapping[str, Any] | None, unit: str = "") -> str:
    """Mean and interval as text: ``0.061 (0.034 … 0.092)``; empty without a value."""
    if value is None or value["mean"] is None:
        return ""
    ends = ["∞" if end is None else f"{end:.3g}" for end in (value["low"], value["high"])]
    return f"{unit}{value['mean']:.3g} ({ends[0]} … {ends[1]})".replace("-", "−")


def table_lines(table: Table) -> list[str]:
    """A table in Markdown."""

    def row(cells: list[Any]) -> str:
        return f"| {' | '.join(map(_text, cells))} |"

    return [row(table.columns), f"|{' --- |' * len(table.columns)}", *map(row, table.rows)]


def _text(cell: Any) -> str:
    if cell is None:
        return ""
    if isinstance(cell, float):
        return f"{cell:.3f}".replace("-", "−")
    return f"{cell:,}" if isinstance(cell, int) else str(cell)
