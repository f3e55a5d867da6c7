"""Look at the files of your own that params.yaml names, so that a change of them is noticed.

    python -m tasks.sources

Reads   params datasets, ingest; names, sizes and times of the files under ingest.paths, contents
        of tables and label files, or of all of them with ingest.fingerprint: full.
Writes  data/sources/<dataset>.tsv, a line a file (facsimile/fingerprint.py); metrics.json.

`ingest` depends on what is written, and runs again when it differs. Runs every time, and therefore
imports no torch; whoever conducts may ask `changes` instead.
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
from facsimile.fingerprint import Hashes, difference, look, look_at_code, open_hashes
from tasks.params import LANDMARK_COLUMNS, PARAMS, Datasets, Ingest, read_params
from tasks.shared.exit_codes import ExitCode

OUT = Path("data/sources")
STORE = Path("data/.sources.work/hashes.db")


def run(out: Path, base: Path, datasets: Datasets, ingest: Ingest) -> dict[str, Any]:
    """Write the lines of each dataset of your own that `datasets` names.

    Args:
        out: folder to write to.
        base: project folder.
        datasets, ingest: sections of params.yaml.
    """
    metrics: dict[str, Any] = {"files": 0}
    with _hashes(base, ingest) as hashes:
        for name in _own(datasets, ingest):
            root = base / ingest.paths[name].root
            if not root.exists():
                raise FacsimileError(_absent(name, ingest))
            files = 0
            with _open(out / f"{name}.tsv", "w") as file:
                for line in _lines(name, base, ingest, hashes):
                    file.write(f"{line}\n")
                    files += 1
            metrics[name] = {"files": files}
            metrics["files"] += files
    return metrics


def changes(base: Path, datasets: Datasets, ingest: Ingest) -> dict[str, str]:
    """What is different now from what `run` has written: dataset → in a few words.

    Args:
        base: project folder.
        datasets, ingest: sections of params.yaml.
    """
    found: dict[str, str] = {}
    names = _own(datasets, ingest)
    with _hashes(base, ingest) as hashes:
        for name in names:
            if not (base / ingest.paths[name].root).exists():
                found[name] = f"{ingest.paths[name].root} does not exist"
            elif not (base / OUT / f"{name}.tsv").exists():
                found[name] = "not looked at yet"
            else:
                with _open(base / OUT / f"{name}.tsv", "r") as file:
                    before = (line.rstrip("\n") for line in file)
                    if change := difference(before, _lines(name, base, ingest, hashes)):
                        found[name] = change
    return found


def _own(datasets: Datasets, ingest: Ingest) -> list[str]:
    return [name for name in datasets.all if name in ingest.paths]


def _lines(name: str, base: Path, ingest: Ingest, hashes: Hashes) -> Iterator[str]:
    """Lines of one dataset, and of the function that finds landmarks in it."""
    yield from look(base / ingest.paths[name].root, ingest.fingerprint == "full", hashes)
    by = ingest.align.get(name, LANDMARK_COLUMNS)
    if by != LANDMARK_COLUMNS:
        yield from look_at_code(by.partition(":")[0], base)


def _hashes(base: Path, ingest: Ingest):
    """A store of hashes, where there are many to remember."""
    return open_hashes(base / STORE if ingest.fingerprint == "full" else None)


def _open(path: Path, mode: str):
    # Names of files need not be valid unicode.
    return path.open(mode, encoding="utf-8", errors="surrogateescape", newline="\n")


def _absent(name: str, ingest: Ingest) -> str:
    return f"{PARAMS}: ingest.paths.{name}: {ingest.paths[name].root} does not exist"


def main() -> None:
    """Run as a command and end the process; bad input is reported in one line."""
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
