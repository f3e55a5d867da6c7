"""Fingerprint the user files named in params.yaml to detect changes.

    python -m tasks.sources

Reads   params datasets, ingest; names, sizes and modification times of the files under
        ingest.paths; contents of tables and label files, or of all files with
        ingest.fingerprint: full.
Writes  data/sources/<dataset>.tsv, one line per file (facsimile/fingerprint.py); metrics.json.

`ingest` depends on the output and reruns when it changes. This stage runs every time, so it does
not import torch. Flows call `changes` instead of running the stage.
"""

import argparse
import json
import sqlite3
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from facsimile.errors import FacsimileError
from facsimile.files import atomic_directory
from facsimile.fingerprint import (
    FileHasher,
    difference,
    fingerprint_code,
    fingerprint_files,
    open_hasher,
)
from tasks.params import LANDMARK_COLUMNS, PARAMS, DatasetsParams, IngestParams, read_params
from tasks.shared.exit_codes import ExitCode

OUT = Path("data/sources")
STORE = Path("data/.sources.work/hashes.db")


def run(out: Path, base: Path, datasets: DatasetsParams, ingest: IngestParams) -> dict[str, Any]:
    """Write the fingerprint of each user dataset in `datasets`.

    Args:
        out: folder to write to.
        base: project folder.
        datasets, ingest: sections of params.yaml.
    """
    metrics: dict[str, Any] = {"files": 0}
    with _hasher(base, ingest) as hasher:
        for name in _user_datasets(datasets, ingest):
            path = ingest.paths[name].root
            if not (base / path).exists():
                raise FacsimileError(f"{PARAMS}: ingest.paths.{name}: {path} does not exist")
            files = 0
            with _open(out / f"{name}.tsv", "w") as file:
                for line in _fingerprint(name, base, ingest, hasher):
                    file.write(f"{line}\n")
                    files += 1
            metrics[name] = {"files": files}
            metrics["files"] += files
    return metrics


def changes(base: Path, datasets: DatasetsParams, ingest: IngestParams) -> dict[str, str]:
    """Changes since `run` wrote its fingerprints.

    Args:
        base: project folder.
        datasets, ingest: sections of params.yaml.

    Returns:
        A short description for each dataset that has changed.
    """
    found: dict[str, str] = {}
    with _hasher(base, ingest) as hasher:
        for name in _user_datasets(datasets, ingest):
            if not (base / ingest.paths[name].root).exists():
                found[name] = f"{ingest.paths[name].root} does not exist"
            elif not (base / OUT / f"{name}.tsv").exists():
                found[name] = "not checked yet"
            else:
                with _open(base / OUT / f"{name}.tsv", "r") as file:
                    before = (line.rstrip("\n") for line in file)
                    if change := difference(before, _fingerprint(name, base, ingest, hasher)):
                        found[name] = change
    return found


def _user_datasets(datasets: DatasetsParams, ingest: IngestParams) -> list[str]:
    return [name for name in datasets.all if name in ingest.paths]


def _fingerprint(name: str, base: Path, ingest: IngestParams, hasher: FileHasher) -> Iterator[str]:
    """Lines for the files of a dataset and for the code of its landmark function, if it has one."""
    full = ingest.fingerprint == "full"
    yield from fingerprint_files(base / ingest.paths[name].root, full, hasher)
    landmarks = ingest.align.get(name, LANDMARK_COLUMNS)
    if landmarks != LANDMARK_COLUMNS:
        yield from fingerprint_code(landmarks.partition(":")[0], base)


def _hasher(base: Path, ingest: IngestParams):
    """Hashes are cached on disk only with `full`, where large files are hashed."""
    return open_hasher(base / STORE if ingest.fingerprint == "full" else None)


def _open(path: Path, mode: str):
    # File names need not be valid Unicode.
    return path.open(mode, encoding="utf-8", errors="surrogateescape", newline="\n")


def main() -> None:
    """Run as a command and exit; bad input is reported in one line."""
    argparse.ArgumentParser(
        prog="python -m tasks.sources", description=__doc__.splitlines()[0]
    ).parse_args()
    try:
        sections = read_params(PARAMS)
        with atomic_directory(OUT) as out:
            metrics = run(out, Path(), sections["datasets"], sections["ingest"])
            (out / "metrics.json").write_text(json.dumps(metrics, indent=2) + "\n")
    except (FacsimileError, OSError, sqlite3.Error) as error:
        print(f"facsimile: {error}", file=sys.stderr)
        sys.exit(ExitCode.BAD_INPUT)


if __name__ == "__main__":
    main()
