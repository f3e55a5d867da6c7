"""The installed package has all files of the library."""

import tomllib
from pathlib import Path

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
