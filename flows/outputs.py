"""What a stage left in its output folder: metrics.json, figures, the report."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

REPORT = Path("data/evaluate/report.html")


def read_metrics(root: Path, stage: str) -> dict[str, float]:
    """Numbers of data/<stage>/metrics.json, nested ones as ``outer.inner``; empty if there is none.

    The first one is the key figure of the stage.
    """
    path = root / "data" / stage / "metrics.json"
    return dict(flatten(json.loads(path.read_text()))) if path.exists() else {}


def flatten(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, float]]:
    """Finite and infinite numbers of nested mappings by dotted name; anything else is left out."""
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from flatten(value, f"{prefix}{key}.")
        elif isinstance(value, (int, float)):
            yield f"{prefix}{key}", float(value)


def key_figure(root: Path, stage: str) -> str:
    """First metric of a stage as ``name 0.1234``."""
    for name, value in read_metrics(root, stage).items():
        return f"{name} {value:,.0f}" if value.is_integer() else f"{name} {value:.4g}"
    return ""


def figures(root: Path, stage: str) -> list[Path]:
    """Pictures and pages of a stage, for people."""
    folder = root / "data" / stage
    return sorted(path for path in folder.rglob("*") if path.suffix in (".png", ".html"))
