"""Outputs of stages: metrics.json, figures, the report."""

import json
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from facsimile.digests import check_digests
from facsimile.errors import FacsimileError
from facsimile.faces.origins import REAL, generated_origins
from flows.graph import Stage

REPORT = Path("data/evaluate/report.html")
CONTACT_SHEET = Path("data/evaluate/contact_sheet.png")

# Evaluation metrics per AU, seed or kind of reject, which are not headline figures.
_DETAILS = ("per_au", "per_seed", "by_au", "by_reason", "generator")


def folder_of(stage: str) -> Path:
    """Folder of the outputs of a stage, relative to the project; ``a@b`` has ``data/a/b``."""
    return Path("data", *stage.split("@"))


def read_metrics(root: Path, stage: str) -> dict[str, float]:
    """Numbers in the metrics.json of a stage by dotted name; empty without the file.

    The first one is the key figure of the stage.
    """
    path = root / folder_of(stage) / "metrics.json"
    return dict(flatten(json.loads(path.read_text()))) if path.exists() else {}


def check_shipped(root: Path, stage: Stage) -> bool:
    """Check the files of a frozen stage against the digests recorded beside them.

    Returns:
        True if they match; False if nothing is recorded, or the stage is not frozen.

    Raises:
        FacsimileError: a file was modified or is missing.
    """
    if not stage.frozen:
        return False
    folders = {Path(out).parent for out in stage.outs}
    # Relative to the current folder, because the message contains a command to run there.
    recorded = [check_digests(Path(os.path.relpath(root / folder))) for folder in folders]
    return all(recorded)


def flatten(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, float]]:
    """Numbers in nested mappings and lists by dotted name (list items by index)."""
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from flatten(value, f"{prefix}{key}.")
        elif isinstance(value, list):
            yield from flatten(dict(enumerate(value)), f"{prefix}{key}.")
        elif isinstance(value, (int, float)):
            yield f"{prefix}{key}", float(value)


def headline(metrics: Mapping[str, float]) -> dict[str, float]:
    """Headline figures of the evaluation.

    Metrics without details, plus ``gain.<arm>``: mean F1 of an arm minus that of real faces only.
    """
    found = {
        name: value
        for name, value in metrics.items()
        if not any(part.endswith(_DETAILS) for part in name.split("."))
    }
    means = {name: value for name, value in found.items() if re.fullmatch(r"f1\..+\.mean", name)}
    real = means.pop(f"f1.{REAL}.mean", None)
    if real is not None:
        arms = {name.removeprefix("f1.").removesuffix(".mean"): means[name] for name in means}
        found |= {f"gain.{arm}": mean - real for arm, mean in arms.items()}
    return found


def key_figure(root: Path, stage: str) -> str:
    """First metric of a stage, as ``name 0.1234``; empty without metrics."""
    for name, value in read_metrics(root, stage).items():
        return f"{name} {value:,.0f}" if value.is_integer() else f"{name} {value:.4g}"
    return ""


def figures(root: Path, stage: str) -> list[Path]:
    """Images and HTML pages of a stage."""
    folder = root / folder_of(stage)
    return sorted(path for path in folder.rglob("*") if path.suffix in (".png", ".html"))


def inspectable(root: Path, target: str | None) -> dict[str, Any]:
    """Arguments of `facsimile.inspection.write_inspection` for a target.

    Args:
        root: project folder.
        target: an ingested dataset, or the file or folder of a face table; None for all ingested
            and generated faces.

    Raises:
        FacsimileError: the target does not exist.
    """
    data = root / "data"
    ingested = sorted(path for path in data.glob("ingest/*") if path.is_dir())
    if target is not None and (data / "ingest" / target).is_dir():
        faces = ingested = [data / "ingest" / target]
    elif target is not None:
        faces = [Path(target)]
        if not faces[0].exists():
            names = ", ".join(path.name for path in ingested) or "none"
            raise FacsimileError(
                f"{target}: neither a face table nor an ingested dataset; ingested: {names}"
            )
    else:
        stages = [origin.stage for origin in generated_origins().values()]
        generated = [data / stage / "faces" for stage in stages]
        faces = [*(path for path in generated if path.exists()), *ingested]
        if not faces:
            raise FacsimileError(f"{data / 'ingest'} does not exist yet; run `facsimile demo`")
    people = data / "synthesize" / "identities"
    decisions = data / "filter" / "decisions.parquet"
    rejects = {path.name: path / "rejects.parquet" for path in ingested if path in faces}
    return {
        "title": f"Samples of {target or 'a run'}",
        "faces": faces,
        "sources": [*ingested, *([people] if people.exists() else [])],
        "identities": people if people.exists() else None,
        "decisions": decisions if decisions.exists() else None,
        "rejects": {name: path for name, path in rejects.items() if path.exists()},
    }
