"""Demo on files: export the ingested faces as images and CSV, and set up a project reading them."""

import shutil
from pathlib import Path

import yaml

from facsimile.datasets import table
from facsimile.errors import FacsimileError
from facsimile.faces.tables import atomic_directory
from flows.new_project import CODE, MODELS, copy
from tasks.params import PARAMS, read_params
from tasks.provenance.dvc_files import locked_hashes, locked_stages

PLAIN_TABLE = Path("build/plain-table")

_DVC_CONFIG = """[core]
    analytics = false
    autostage = false
    check_update = false
    no_scm = true
"""


def plain_table_project(root: Path) -> Path:
    """Create a copy of the project in `root` that reads the ingested faces from CSV files.

    The copy has the same stages, code, generator, oracle and params, except for where faces come
    from. The original project is left untouched. If the copy already exists, the outputs of its
    stages are kept.

    Args:
        root: project folder whose stage ``ingest`` has run.

    Returns:
        The new project folder, ``build/plain-table`` in `root`.

    Raises:
        FacsimileError: stage ingest has not run in `root`, or params.yaml is invalid.
    """
    datasets = read_params(root / PARAMS)["datasets"]
    outs = locked_hashes(locked_stages(root).get("ingest", {}), "outs")
    if not outs:
        raise FacsimileError(
            f"{root / 'dvc.lock'}: stage ingest has not run; run `facsimile run ingest`"
        )
    project = root / PLAIN_TABLE
    for name in (*CODE, *MODELS):
        copy(root / name, project / name)
    config = project / ".dvc" / "config"
    config.parent.mkdir(exist_ok=True)
    config.write_text(_DVC_CONFIG)

    # The folder name contains the hash of the faces, so they are rewritten only if they change.
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
