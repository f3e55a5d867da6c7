"""Hooks of MkDocs: pages that are outside docs/, or that are made from the code.

`mkdocs.yml` names this file. README.md and other pages of the repository join the site, links
between them keep working, and the reference of commands, params and library is read from the code.
"""

import importlib
import pkgutil
import posixpath
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import typer
import yaml
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

import facsimile
from cli.app import app
from tasks.params import PARAMS

ROOT = Path(__file__).parents[1]

PAGES = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "benchmarks/README.md": "benchmarks.md",
    "data/describer/README.md": "describer.md",
    "data/describer/sheet.png": "describer.png",
    "examples/quickstart.ipynb": "quickstart.ipynb",
}
"""File of the repository → file of the site, beside those of docs/."""


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the files outside docs/ and the reference."""
    for source, target in PAGES.items():
        files.append(File.generated(config, target, abs_src_path=str(ROOT / source)))
    for target, content in (
        ("reference/commands.md", commands()),
        ("reference/params.md", params()),
        ("reference/library.md", library()),
    ):
        files.append(File.generated(config, target, content=content))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Point links between files of the repository to the files of the site."""
    target = page.file.src_uri
    origins = {site: source for source, site in PAGES.items()}
    return move_links(markdown, origins.get(target, f"docs/{target}"), target)


def move_links(markdown: str, source: str, target: str) -> str:
    """Rewrite the relative links of a page.

    Args:
        markdown: the page.
        source: its path in the repository.
        target: its path in the site.
    """

    def move(link: re.Match[str]) -> str:
        path, anchor = link[1], link[2] or ""
        if not path or "://" in path:
            return link[0]
        file = posixpath.normpath(posixpath.join(posixpath.dirname(source), path))
        site = PAGES.get(file, file.removeprefix("docs/"))
        return f"]({posixpath.relpath(site, posixpath.dirname(target) or '.')}{anchor})"

    return re.sub(r"\]\(([^)#\s]*)(#[^)\s]*)?\)", move, markdown)


def commands() -> str:
    """Page of all commands: their help, as on the command line."""
    parts = ["# Commands\n"]

    def add(command: Any, name: str) -> None:
        context = typer.Context(command, info_name=name)
        for child in getattr(command, "commands", ()):
            add(command.get_command(context, child), f"{name} {child}")
        if hasattr(command, "commands"):
            return
        usage = f"{name} {' '.join(command.collect_usage_pieces(context))}"
        parts.append(f"## `{name}`\n\n```text\n{usage}\n```\n\n{command.help}\n")
        records = [parameter.get_help_record(context) for parameter in command.params]
        if rows := [_row(*record) for record in records if record]:
            parts.append("| option | meaning |\n| --- | --- |\n" + "\n".join(rows) + "\n")
        if lines := re.findall(r"^  \$ (.+)$", command.epilog or "", re.MULTILINE):
            parts.append("```sh\n" + "\n".join(lines) + "\n```\n")

    add(typer.main.get_command(app), "facsimile")
    return "\n".join(parts)


def _row(name: str, meaning: str) -> str:
    """Row of the table of options; a bar would end a cell, also in code."""
    name, meaning = (" ".join(text.split()).replace("|", "&#124;") for text in (name, meaning))
    return f"| <code>{name.replace('<', '&lt;')}</code> | {meaning} |"


def params() -> str:
    """Page of params.yaml: the file with its comments, and the models that check it."""
    sections = yaml.safe_load((ROOT / PARAMS).read_text())
    modules = [name for name in sections if (ROOT / "tasks" / "params" / f"{name}.py").exists()]
    options = "    options:\n      show_root_heading: false\n      show_root_toc_entry: false\n"
    models = "\n".join(f"### {name}\n\n::: tasks.params.{name}\n{options}" for name in modules)
    return (
        "# Params\n\n`params.yaml` holds everything that results depend on:\n\n"
        f"```yaml\n{(ROOT / PARAMS).read_text()}```\n\n## Sections\n\n{models}"
    )


def library() -> str:
    """Page of the public names of the library, one section per package."""
    parts = ["# Library\n"]
    for module in pkgutil.iter_modules(facsimile.__path__, "facsimile."):
        package = importlib.import_module(module.name)
        if not module.ispkg or not getattr(package, "__all__", None):
            continue
        parts.append(f"## {module.name}\n\n{_summary(package)}\n")
        parts += [f"::: {module.name}.{name}\n" for name in package.__all__]
    return "\n".join(parts)


def _summary(module: ModuleType) -> str:
    return (module.__doc__ or "").strip().split("\n\n")[0]
