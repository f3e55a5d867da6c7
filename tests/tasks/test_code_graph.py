"""Which files a module needs, on a small tree."""

from pathlib import Path

import pytest

from tests.tasks.code_graph import CodeGraph

TREE = {
    "lib/__init__.py": "__version__ = '1'",
    "lib/faces.py": "",
    "lib/seeding.py": "",
    "lib/edit/__init__.py": """
        from lib.edit.apply import apply
        from lib.edit.fit import fit as train
        __all__ = ["apply", "train"]
    """,
    "lib/edit/apply.py": "from ..faces import x\nimport lib.seeding",
    "lib/edit/fit.py": "import numpy",
    "lib/edit/README.md": "page.html",
    "lib/registry/__init__.py": "from lib.registry.one import one\nALL = [one]",
    "lib/registry/one.py": "one = 1",
    "lib/registry/two.py": "",
    "lib/page.py": "TEMPLATE = 'page.html'",
    "lib/page.html": '{% include "style.css" %}',
    "lib/style.css": "",
    "lib/unread.css": "",
    "app/__init__.py": "",
    "app/acts/__init__.py": "import os\nos.environ['A'] = 'b'",
    "app/acts/late.py": """
        from typing import TYPE_CHECKING
        if TYPE_CHECKING:
            from lib.faces import Face
        def main():
            from lib.edit import train
    """,
}


@pytest.fixture
def code(tmp_path: Path) -> CodeGraph:
    for name, text in TREE.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text.replace("\n        ", "\n"))
    return CodeGraph(tmp_path, ("lib", "app"))


def needed(code: CodeGraph, text: str) -> set[str]:
    (code.root / "app" / "main.py").write_text(text)
    return {str(path) for path in code.needed("app.main")} - {"app/main.py"}


@pytest.mark.parametrize(
    ("text", "files"),
    [
        ("import numpy", set()),
        ("import lib", {"lib/__init__.py"}),
        ("from lib import __version__", {"lib/__init__.py"}),
        ("from lib import faces", {"lib/faces.py"}),
        ("import lib.faces as f", {"lib/faces.py"}),
        ("from lib.faces import *", {"lib/faces.py"}),
        ("import importlib as i\nf = i.import_module('lib.faces')", {"lib/faces.py"}),
        (
            "from importlib import import_module\nimport_module(f'lib.registry.{name}')",
            {"lib/registry/__init__.py", "lib/registry/one.py", "lib/registry/two.py"},
        ),
        # The module that defines the name, and what that one imports in turn.
        ("from lib.edit import train", {"lib/edit/fit.py"}),
        ("from lib.edit import apply", {"lib/edit/apply.py", "lib/faces.py", "lib/seeding.py"}),
        # A whole package, all that it hands on.
        (
            "from lib import edit",
            {"lib/edit/apply.py", "lib/edit/fit.py", "lib/faces.py", "lib/seeding.py"},
        ),
        # An __init__ that defines something is a module like others.
        ("from lib.registry import ALL", {"lib/registry/__init__.py", "lib/registry/one.py"}),
        ("from lib.page import TEMPLATE", {"lib/page.py", "lib/page.html", "lib/style.css"}),
        # Imports in functions count, those for type checkers do not; an __init__ that acts does.
        ("import app.acts.late", {"app/acts/__init__.py", "app/acts/late.py", "lib/edit/fit.py"}),
    ],
)
def test_needed(code: CodeGraph, text: str, files: set[str]) -> None:
    assert needed(code, text) == files


def test_an_unknown_module_is_refused(code: CodeGraph) -> None:
    with pytest.raises(AssertionError, match=r"no module lib\.absent"):
        needed(code, "from lib.absent import x")


def test_folders_stand_for_all_their_files(code: CodeGraph) -> None:
    edit = {Path("lib/edit/apply.py"), Path("lib/edit/fit.py")}
    assert code.shortest(edit) == {"lib/edit"}
    assert code.shortest({Path("lib/edit/fit.py")}) == {"lib/edit/fit.py"}
    assert code.shortest({Path("lib/edit/fit.py")}, whole=("lib/edit",)) == {"lib/edit"}
