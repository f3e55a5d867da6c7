"""Shared by the frozen stages, which train a shipped model on rendered faces."""

import argparse
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pandas as pd

from facsimile import world
from facsimile.errors import FacsimileError
from facsimile.faces.tables import read_faces
from tasks.params import PARAMS
from tasks.shared.artefacts import DATA
from tasks.shared.endings import raise_on_signals
from tasks.shared.exit_codes import ExitCode
from tasks.shared.faults import explain_faults
from tasks.shared.machine import DEVICE_HELP, find_device


def main(
    name: str, doc: str, run: Callable[[argparse.Namespace], None], **inputs: Path | None
) -> None:
    """Run a frozen stage as a command and end the process.

    Args:
        name: name of the stage; the default output folder is ``data/<name>``.
        doc: docstring of the stage; its first line describes the command.
        run: receives the paths `params`, `faces`, `work`, `out` and `inputs`, and `device`; the
            default for `faces` is WORK/faces.
        inputs: further inputs with their default paths; each becomes an option.
    """
    parser = argparse.ArgumentParser(
        prog=f"python -m tasks.{name}", description=doc.splitlines()[0]
    )
    parser.add_argument("--params", type=Path, default=PARAMS)
    parser.add_argument("--work", type=Path, default=DATA / name / ".work")
    parser.add_argument("--faces", type=Path, help="face table (default: WORK/faces)")
    parser.add_argument("--out", type=Path, default=DATA / name)
    for option, default in inputs.items():
        parser.add_argument(f"--{option}", type=Path, default=default)
    parser.add_argument("--device", help=DEVICE_HELP)
    arguments = parser.parse_args()
    arguments.faces = arguments.faces or arguments.work / "faces"
    raise_on_signals()
    try:
        arguments.device = find_device(arguments.device)
        with explain_faults():
            run(arguments)
    except FacsimileError as error:
        if os.environ.get("RANK", "0") == "0":  # all processes of torchrun have the same error
            print(f"{name}: {error}", file=sys.stderr)
        sys.exit(ExitCode.BAD_INPUT)


def face_table(
    path: Path, dataset: str, faces: int, size: int, seed: int, workers: int
) -> pd.DataFrame:
    """Rows of a face table, which is rendered first if it does not exist."""
    if not path.exists():
        world.write_faces(path, dataset, faces, size, seed, workers)
    return read_faces(path)
