"""results.json of the comparison of editors as a page of documentation."""

from collections.abc import Mapping
from typing import Any

from facsimile.benchmark.tables import finding, sections
from facsimile.result_table import table_lines


def to_markdown(results: Mapping[str, Any]) -> str:
    """A heading, the finding and all tables.

    Args:
        results: content of results.json.
    """
    lines = [
        "# Editors",
        "",
        f"Computed by `facsimile editors` at commit {results['commit'][:10]}, on "
        f"{results['machine']}. [editors.json](editors.json) has all numbers. No editor, and no "
        "choice, has seen the people that are edited.",
        "",
        f"**{finding(results)}**",
    ]
    for heading, note, table in sections(results):
        lines += ["", f"## {heading}", "", note, "", *table_lines(table)]
    return "\n".join(lines) + "\n"
