"""Creates a project in a folder of its own, from the files that this installation comes with.

A project has a copy of the code of its stages: DVC reruns them if it changes, and git keeps the
version that made the results.
"""

import shutil
import tempfile
from importlib import metadata
from pathlib import Path

import facsimile
from facsimile.errors import FacsimileError
from facsimile.files import atomic_directory, atomic_file
from tasks.params import PARAMS
from tasks.provenance.dvc_files import PIPELINE

CODE = ("facsimile", "tasks", str(PIPELINE), ".dvcignore")
"""Files and folders of the stages, which change with the version of Facsimile."""

MODELS = ("data/config", "data/describer", "data/generator", "data/oracle")
"""What the stages start from: the causal graph, and the models that are shipped."""

SETTINGS = (str(PARAMS), ".gitignore", ".dvc/.gitignore", ".dvc/config", "data/.gitignore")

_PACKAGES = Path(facsimile.__file__).parents[1]
_DISTRIBUTION = "facsimile-faces"


def create_project(folder: Path) -> None:
    """Create a project that runs the embedded world until its params.yaml is changed.

    Args:
        folder: need not exist; may have other files, such as datasets, or be a git repository.

    Raises:
        FacsimileError: one of the project's files or folders exists already, or this installation
            is incomplete.
    """
    if folder.is_file():
        raise FacsimileError(f"{folder} is a file; name a folder")
    source = _source()
    names = (*CODE, *MODELS, *SETTINGS)
    tops = dict.fromkeys(name.partition("/")[0] for name in names)
    if taken := next((name for name in tops if (folder / name).exists()), None):
        raise FacsimileError(
            f"{folder / taken} exists already: name another folder, or bring the code of a project "
            "up to date with --update"
        )
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".facsimile-", dir=folder) as temporary:
        for name in names:
            copy(_find(source, name), Path(temporary) / name)
        for name in tops:
            (Path(temporary) / name).rename(folder / name)


def update_project(folder: Path) -> None:
    """Replace the code of a project by that of this installation; all else stays.

    Raises:
        FacsimileError: there is no project, it is a checkout of Facsimile itself, or this
            installation is incomplete.
    """
    if not (folder / PIPELINE).is_file():
        raise FacsimileError(f"{folder}: no project, it has no {PIPELINE}")
    if (folder / "cli").exists():
        raise FacsimileError(f"{folder} is a checkout of Facsimile: update it with git")
    source = _source()
    for name in CODE:
        path = _find(source, name)
        if path.is_dir():
            with atomic_directory(folder / name) as out:
                copy(path, out)
        else:
            with atomic_file(folder / name) as out:
                copy(path, out)


def copy(source: Path, target: Path) -> None:
    """Replace a file or folder, keeping modification times so that DVC need not rehash it."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_file():
        shutil.copy2(source, target)
        return
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__", ".work"))


def _source() -> Path:
    """Folder with all files of a project except for packages: the checkout, or installed data."""
    if (_PACKAGES / PIPELINE).is_file():
        return _PACKAGES
    for file in metadata.files(_DISTRIBUTION) or ():
        if file.name == PIPELINE.name:
            return Path(file.locate()).resolve().parent
    raise FacsimileError(f"{_PACKAGES}: this installation has no {PIPELINE}; install it again")


def _find(source: Path, name: str) -> Path:
    path = source / name
    return path if path.exists() else _PACKAGES / name
