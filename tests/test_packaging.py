"""The installed package has all files of the library, and those of new projects."""

import tomllib
from pathlib import Path

from flows.new_project import MODELS, SETTINGS

ROOT = Path(__file__).parents[1]


def test_files_besides_modules_are_package_data() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    patterns = settings["tool"]["setuptools"]["package-data"]["facsimile"]
    package = ROOT / "facsimile"
    packaged = {path for pattern in patterns for path in package.glob(pattern)}
    others = {
        path
        for path in package.rglob("*")
        if path.is_file() and path.suffix != ".py" and "__pycache__" not in path.parts
    }
    assert others - packaged == set()


def test_files_of_new_projects_are_installed() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    installed = {
        path.relative_to(ROOT)
        for folder, patterns in settings["tool"]["setuptools"]["data-files"].items()
        for pattern in patterns
        for path in ROOT.glob(pattern)
        # Where `facsimile init` looks for them.
        if path.parent.relative_to(ROOT) == Path(folder).relative_to("share/facsimile")
    }
    needed = {Path(name) for name in ("dvc.yaml", ".dvcignore", *SETTINGS)}
    for name in MODELS:
        needed |= {path.relative_to(ROOT) for path in (ROOT / name).rglob("*") if path.is_file()}
    assert needed <= installed
