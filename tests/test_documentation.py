"""Files, commands, options and modules named in the documentation exist."""

import ast
import json
import re
import shlex
import subprocess
import sys
from itertools import product
from pathlib import Path

import pytest
import typer

from benchmarks import arms, scale_page
from cli.app import app
from facsimile.benchmark import CONTESTANTS
from facsimile.benchmark import markdown as benchmark
from facsimile.paper.markdown import headline, to_markdown
from tools import publish_results

ROOT = Path(__file__).parents[1]
PAGES = sorted(
    [
        *ROOT.glob("*.md"),
        *(ROOT / "docs").glob("*.md"),
        *(ROOT / "benchmarks").glob("*.md"),
    ]
)
PACKAGES = ("benchmarks", "cli", "docs", "facsimile", "flows", "tasks", "tests")

each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


@each_page
def test_link_targets_exist(page: Path) -> None:
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if "://" in link:
            continue
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


def anchors(page: Path) -> set[str]:
    """Anchors of the headings of a page, as GitHub names them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@each_page
def test_named_files_exist(page: Path) -> None:
    named = re.findall(rf"`((?:{'|'.join(PACKAGES)})/[\w./-]*)`", page.read_text())
    assert [name for name in named if not (ROOT / name).exists()] == []


@each_page
def test_commands_and_options_exist(page: Path) -> None:
    root = typer.main.get_command(app)
    for line in re.findall(r"^(?:\$ )?facsimile .+$", page.read_text(), re.MULTILINE):
        words = shlex.split(line.removeprefix("$ "), comments=True)[1:]
        command = root
        while hasattr(command, "commands"):
            assert words[0] in command.commands, line
            command = command.commands[words.pop(0)]
        options = {name for parameter in command.params for name in parameter.opts} | {"--help"}
        assert [word for word in words if word.startswith("-") and word not in options] == [], line


@each_page
def test_imports_in_python_examples_work(page: Path) -> None:
    for block in re.findall(r"```python\n(.+?)```", page.read_text(), re.DOTALL):
        body = ast.parse(block).body
        imports = [node for node in body if isinstance(node, ast.Import | ast.ImportFrom)]
        exec(compile(ast.Module(imports, []), page.name, "exec"), {})


@pytest.mark.slow
def test_site_builds_without_warnings(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path)]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    pages = {str(page.relative_to(tmp_path)) for page in tmp_path.rglob("*.html")}
    assert {f"{page.stem}.html" for page in (ROOT / "docs").glob("*.md")} < pages
    commands = (tmp_path / "reference" / "commands.html").read_text()
    assert "facsimile generator import" in commands
    assert "AUDetector" in (tmp_path / "reference" / "library.html").read_text()
    index = (tmp_path / "index.html").read_text()
    assert 'href="datasets.html"' in index
    assert 'src="results.png"' in index


def test_results_are_those_of_one_run() -> None:
    results = json.loads((ROOT / "docs" / "results.json").read_text())
    assert (ROOT / "docs" / "results.md").read_text() == to_markdown(results)
    readme = (ROOT / "README.md").read_text()
    assert publish_results.replace_block(readme, headline(results)) == readme


def test_scores_of_described_faces_are_those_of_one_run() -> None:
    results = json.loads((ROOT / "docs" / "describing.json").read_text())
    assert arms.to_markdown(results) in (ROOT / "docs" / "describing.md").read_text()


def test_the_page_about_scale_is_that_of_its_figures() -> None:
    results = json.loads((ROOT / "docs" / "scale.json").read_text())
    assert (ROOT / "docs" / "scale.md").read_text() == scale_page.to_markdown(results)
    for stage, size in product(("filter", "train", "evaluate"), (64, 256)):
        peaks = {
            row["faces"]: row["process"]
            for row in results["measurements"]
            if (row["stage"], row["size"]) == (stage, size)
        }
        first, *_, last = sorted(peaks)
        assert peaks[last] - peaks[first] < (last - first) * size**2 * 3, (stage, size)


def test_the_comparison_of_editors_is_that_of_one_run() -> None:
    results = json.loads((ROOT / "docs" / "editors.json").read_text())
    assert (ROOT / "docs" / "editors.md").read_text() == benchmark.to_markdown(results)
    assert set(results["scores"]) == set(CONTESTANTS)
