"""Copy the results of `facsimile paper` and `facsimile editors` into the documentation.

    python tools/publish_results.py [RESULTS.json ...]

Writes docs/results.json, docs/results.md and the table in README.md, and docs/editors.json,
docs/editors.md and docs/editors.png. By default, it takes the results of this project.
"""

import json
import shutil
import sys
from pathlib import Path

from facsimile.benchmark import markdown as editors
from facsimile.paper.markdown import headline, to_markdown

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
BEGIN, END = "<!-- results -->\n", "<!-- end of results -->\n"
RESULTS = (
    ROOT / "data" / "paper" / "results.json",
    ROOT / "data" / "editor_benchmark" / "results.json",
)


def replace_block(text: str, block: str) -> str:
    """README with the part between the marks replaced."""
    before, rest = text.split(BEGIN)
    return before + BEGIN + block + END + rest.split(END)[1]


def publish(source: Path) -> None:
    """Publish one file, whichever command wrote it."""
    results = json.loads(source.read_text())
    of_paper = "sections" in results
    target = DOCS / ("results.json" if of_paper else "editors.json")
    if source.resolve() != target:
        shutil.copy(source, target)
    if of_paper:
        (DOCS / "results.md").write_text(to_markdown(results))
        readme = ROOT / "README.md"
        readme.write_text(replace_block(readme.read_text(), headline(results)))
        return
    (DOCS / "editors.md").write_text(editors.to_markdown(results))
    if (sheet := source.with_name("sheet.png")).exists():
        shutil.copy(sheet, DOCS / "editors.png")


if __name__ == "__main__":
    for path in map(Path, sys.argv[1:]) if sys.argv[1:] else filter(Path.exists, RESULTS):
        publish(path)
