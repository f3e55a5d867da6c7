"""The report and the page of documentation."""

import json
import re
from pathlib import Path

import pandas as pd
import pytest

from facsimile.files import to_json
from facsimile.paper.claims import CLAIMS
from facsimile.paper.markdown import to_markdown
from facsimile.paper.page import write_paper_report


@pytest.fixture(scope="module")
def results(sections) -> dict:
    values = {
        "commit": "0123456789abcdef",
        "machine": "2 cores, Fast Chip 9",
        "measured_on": "population",
        "people": {"validation": 12, "population": 216, "mine": 6},
        "seeds": {"real": 3, "edited": 2},
        "sections": sections,
    }
    # As it is read back from results.json.
    return json.loads(json.dumps(to_json(values)))


def test_report_has_a_section_and_a_picture_for_each_claim(
    results, edit_tables, tmp_path: Path
) -> None:
    edit_tables(tmp_path)
    write_paper_report(results, pd.read_parquet(tmp_path / "examples.parquet"), tmp_path)
    page = (tmp_path / "report.html").read_text()
    for name, values in results["sections"].items():
        assert f'<section id="{name}">' in page
        assert values["finding"] in page.replace("&#39;", "'").replace("&#34;", '"')
    assert not re.search(r'(src|href)="(?!#|data:)', page)  # works offline
    drawn = {path.stem for path in (tmp_path / "figures").glob("*.png")}
    assert drawn == set(results["sections"]) - {"neutralization"}
    assert "216 people of population" in page
    assert "2 or 3 detectors" in page


def test_documentation_quotes_what_was_measured(results) -> None:
    text = to_markdown(results)
    for name, values in results["sections"].items():
        assert f"## {CLAIMS[name].title}" in text
        assert values["finding"] in text
    assert "0123456789" in text
    assert "2 cores, Fast Chip 9" in text
    f1 = results["sections"]["detection"]["sets"]["mine"]["scores"]["real"]["f1"]["mean"]
    assert f"| mine | real | {f1:.3f} |" in text
    for table in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE):
        assert len({line.count("|") for line in table.splitlines()}) == 1
