"""Copy the results of `facsimile paper` into the documentation.

    python tools/publish_results.py [data/paper/results.json]

Writes docs/results.json, docs/results.md and the table in README.md.
"""

import json
import shutil
import sys
from pathlib import Path

from facsimile.paper.markdown import headline, to_markdown

ROOT = Path(__file__).parents[1]
BEGIN, END = "<!-- results -->\n", "<!-- end of results -->\n"


def replace_block(text: str, block: str) -> str:
    """README with the part between the marks replaced."""
    before, rest = text.split(BEGIN)
    return before + BEGIN + block + END + rest.split(END)[1]


def main(source: Path) -> None:
    results = json.loads(source.read_text())
    target = ROOT / "docs" / "results.json"
    if source.resolve() != target:
        shutil.copy(source, target)
    (ROOT / "docs" / "results.md").write_text(to_markdown(results))
    readme = ROOT / "README.md"
    readme.write_text(replace_block(readme.read_text(), headline(results)))


if __name__ == "__main__":
    main(Path(*sys.argv[1:2]) if sys.argv[1:] else ROOT / "data" / "paper" / "results.json")
