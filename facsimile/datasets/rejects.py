"""Violations found while reading a dataset: raise at the first, or collect them in a table.

Tolerated violations are always collected.
"""

import re
from collections.abc import Sequence
from typing import Literal

import pandas as pd
import pyarrow as pa

from facsimile.errors import FacsimileError
from facsimile.faces.schema import Finding, Violation, locate, one_line

REJECT_SCHEMA = pa.schema(
    [
        pa.field("file", pa.string(), nullable=False),
        pa.field("line", pa.int64()),
        pa.field("column", pa.string()),
        pa.field("value", pa.string()),
        pa.field("reason", pa.string(), nullable=False),
    ]
)
"""One `facsimile.faces.schema.Violation` per row."""

_NUMBER = re.compile(r"\d[\d.,]*")


class Rejects:
    """Violations of one dataset.

    Args:
        on_error: "raise" to raise at the first, "skip" to collect them and skip these faces.
    """

    def __init__(self, on_error: Literal["raise", "skip"] = "raise") -> None:
        self.on_error = on_error
        self.found: list[Violation] = []

    def __len__(self) -> int:
        return len(self.found)

    def add(self, violations: Sequence[Violation]) -> None:
        """Collect violations, or raise.

        Raises:
            FacsimileError: the first violation that is not tolerated and how many more there are,
                if `on_error` is "raise".
        """
        wrong = [violation for violation in violations if not violation.tolerated]
        if wrong and self.on_error == "raise":
            raise FacsimileError(one_line(wrong))
        self.found.extend(violations)

    def drop(self, annotations: pd.DataFrame, found: Sequence[Finding]) -> pd.DataFrame:
        """Add findings in `annotations` (see `Adapter.annotate`); return the rows without them."""
        files, lines = annotations["file"].tolist(), annotations["line"].tolist()
        self.add(locate(found, annotations, files, lines))
        rows = annotations.reset_index(drop=True)
        return rows.drop(index={finding.row for finding in found}).reset_index(drop=True)

    def by_reason(self) -> list[list[Violation]]:
        """The violations, grouped by reason up to its numbers; the largest group is first."""
        kinds: dict[str, list[Violation]] = {}
        for violation in self.found:
            kinds.setdefault(_NUMBER.sub("#", violation.reason), []).append(violation)
        return sorted(kinds.values(), key=len, reverse=True)

    def to_table(self) -> pa.Table:
        """The collected violations, in ``REJECT_SCHEMA``."""
        return pa.Table.from_pylist([vars(found) for found in self.found], REJECT_SCHEMA)
