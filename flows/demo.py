"""The demo on files: ingested faces as pictures and CSV files, and a project that reads them."""

import shutil
from pathlib import Path

import yaml

from facsimile.datasets import table
from facsimile.errors import FacsimileError
from facsimile.faces.tables import atomic_directory
from tasks.params import PARAMS, read_params
from tasks.provenance.dvc_files import locked_hashes, locked_stages

PLAIN_TABLE = Path("build/plain-table")

_COPIED = (
    "facsimile",
    "tasks",
    "data/config",
    "data/generator",
    "data/oracle",
    "dvc.yaml",
    ".dvcignore",
)
_DVC_CONFIG = """[core]
    analytics = false
    autostage = false
    check_update = false
    no_scm = true
"""


def plain_table_project(root: Path) -> Path:
    """Make the project in `root` anew, with the faces that it has ingested read from CSV files.

    It is a project of its own, so that neither params nor artefacts of the first are touched: the
    same stages, code, generator and oracle, and params but for where faces come from. Made again,
    it keeps what its stages have made.

    Args:
        root: project folder whose stage ``ingest`` has run.

    Returns:
        The new project folder, ``build/plain-table`` in `root`.

    Raises:
        FacsimileError: nothing is ingested there, or its params are wrong.
    """
    datasets = read_params(root / PARAMS)["datasets"]
    outs = locked_hashes(locked_stages(root).get("ingest", {}), "outs")
    if not outs:
        raise FacsimileError(f"{root / 'dvc.lock'}: stage ingest has not run")
    project = root / PLAIN_TABLE
    for name in _COPIED:
        _copy(root / name, project / name)
    config = project / ".dvc" / "config"
    config.parent.mkdir(exist_ok=True)
    config.write_text(_DVC_CONFIG)

    # Named after the faces in them: they are written again when those change, and not else.
    faces = Path("faces") / outs["data/ingest"].removesuffix(".dir")
    if not (project / faces).exists():
        shutil.rmtree(project / "faces", ignore_errors=True)
        with atomic_directory(project / faces) as folder:
            for name in datasets.all:
                table.export(root / "data" / "ingest" / name, folder / name)

    params = yaml.safe_load((root / PARAMS).read_text())
    kept = {key: value for key, value in params["ingest"].items() if key in ("seed", "size")}
    paths = {
        name: {"root": str(faces / name / table.EXPORT), "adapter": "table"}
        for name in datasets.all
    }
    text = yaml.safe_dump(params | {"ingest": {**kept, "paths": paths}}, sort_keys=False)
    (project / PARAMS).write_text(text)
    return project


def _copy(source: Path, target: Path) -> None:
    """Replace a file or folder, with the times of change: DVC then need not hash it again."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_file():
        shutil.copy2(source, target)
        return
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__", ".work"))
