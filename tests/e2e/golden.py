"""Golden figures: what the stages of a small run must give, so that no result changes unnoticed.

`golden.yaml` holds, for each stage, its metrics and for each of its tables the number of rows, a
digest of the ids, the distribution of each text column, and the mean of each column of numbers,
codes and images. Renew them after a deliberate change of results, and read the diff:

    pytest tests/e2e/test_pipeline.py --update-golden
"""

import hashlib
import io
import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import yaml
from PIL import Image

GOLDEN = Path(__file__).with_name("golden.yaml")


@dataclass(frozen=True)
class Tolerance:
    """How far the figures of a stage may be from the golden ones.

    Attributes:
        numbers: absolute, and relative to the golden figure.
        counts: by how many faces, AUs or methods whole numbers may differ.
        ids: whether digests of ids and texts must be equal.
    """

    numbers: float
    counts: int = 0
    ids: bool = True


# CPUs differ in the last bits. Nothing before `baseline` amplifies that. Trained models differ more
# and, from `neutral` on, decide which faces are chosen. On one machine all figures are equal.
TOLERANCES = {
    "sources": Tolerance(0),
    "ingest": Tolerance(1e-6),
    "encode": Tolerance(1e-4),
    "transfer": Tolerance(1e-4),
    "baseline": Tolerance(0.05),
    "editor": Tolerance(0.05, counts=2, ids=False),
    "neutralizer": Tolerance(0.1),
    "neutral": Tolerance(0.05, ids=False),
    "edit": Tolerance(0.05, ids=False),
    "synthesize": Tolerance(0.1, counts=4, ids=False),
    "filter": Tolerance(0.1, counts=4, ids=False),
    "train": Tolerance(0.1, counts=4, ids=False),
    "evaluate": Tolerance(0.1, counts=4, ids=False),
}

_NOISY = re.compile("per_au|per_seed|gain_interval|psnr")  # too few faces; rounding
_DIGESTS = ("generator_md5", "editor_md5")

Figures = dict[str, dict[str, Any]]


def collect(data: Path) -> dict[str, Figures]:
    """Figures of all stages in a data folder: stage → ``metrics`` or table → name → value."""
    return {
        folder.name: {"metrics": read_metrics(folder)}
        | {name: summarize(table) for name, table in tables(folder).items()}
        for folder in sorted(data.iterdir())
        if folder.name in TOLERANCES and (folder / "metrics.json").exists()
    }


def flatten(figures: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Figures with the names of nested ones joined by dots."""
    for name, value in figures.items():
        if isinstance(value, dict):
            yield from flatten(value, f"{prefix}{name}.")
        elif isinstance(value, list):
            yield from flatten(dict(enumerate(value)), f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", rounded(value)


def read_metrics(folder: Path) -> dict[str, Any]:
    """The metrics of a stage, but for those of single AUs and seeds: too few faces, too noisy."""
    metrics = flatten(json.loads((folder / "metrics.json").read_text()))
    return {name: value for name, value in metrics if not _NOISY.search(name)}


def tables(folder: Path) -> dict[str, pd.DataFrame]:
    """All Parquet and CSV tables below a folder by their path; shards of a folder are one table."""
    found: dict[str, list[pd.DataFrame]] = {}
    for file in sorted([*folder.rglob("*.parquet"), *folder.rglob("*.csv")]):
        path = file.parent if file.name.startswith("part-") else file.with_suffix("")
        frame = pd.read_csv(file) if file.suffix == ".csv" else pq.read_table(file).to_pandas()
        found.setdefault(path.relative_to(folder).as_posix(), []).append(frame)
    return {name: pd.concat(frames, ignore_index=True) for name, frames in found.items()}


def summarize(table: pd.DataFrame) -> dict[str, Any]:
    """Rows, a digest of the ids in order, and one figure for each other column."""
    figures: dict[str, Any] = {"rows": len(table)}
    for name in table.columns.difference(_DIGESTS, sort=False):
        values = table[name].dropna()
        if values.empty:
            continue
        figures[name] = summarize_column(values)
        if len(values) < len(table):
            figures[f"{name}.count"] = len(values)
    return figures


def summarize_column(values: pd.Series) -> Any:
    """Mean and spread of codes and pixels, the mean of numbers, counts or a digest of texts."""
    first = values.iloc[0]
    if isinstance(first, dict) and first.get("bytes"):
        values = values.map(lambda cell: read_image(cell["bytes"]))
    elif isinstance(first, bytes):
        values = values.map(read_image)
    if isinstance(values.iloc[0], np.ndarray) and values.iloc[0].dtype.kind in "fiu":
        numbers = np.concatenate([cell.ravel() for cell in values]).astype(np.float64)
        return [rounded(numbers.mean()), rounded(numbers.std())]
    if isinstance(first, (bool, np.bool_)):
        return int(values.sum())
    if pd.api.types.is_numeric_dtype(values):
        return rounded(values.astype(np.float64).mean())
    texts = values.map(str)
    if texts.nunique() <= 6 and not texts.is_unique and isinstance(first, str):
        return {name: int(count) for name, count in sorted(texts.value_counts().items())}
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()[:16]


def read_image(content: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(content)) as image:
        return np.asarray(image.convert("RGB"), np.float64)


def rounded(value: Any) -> Any:
    """A float with seven digits, as Python's own; anything else as it is."""
    if isinstance(value, (float, np.floating)):
        return float(f"{value:.7g}")
    return value


def differences(expected: dict[str, Figures], found: dict[str, Figures]) -> list[str]:
    """One line for each figure that is missing, new or too far from the golden one."""
    lines = []
    for stage in sorted(expected.keys() | found.keys()):
        old, new = (dict(flatten(figures.get(stage, {}))) for figures in (expected, found))
        for name in sorted(old.keys() | new.keys()):
            before, after = old.get(name), new.get(name)
            if (name in old) != (name in new) or not agree(stage, before, after):
                lines.append(f"{stage}: {name}: {before} → {after}")
    return lines


def agree(stage: str, expected: Any, found: Any) -> bool:
    """Whether a figure is the golden one, within the tolerance of its stage."""
    allowed = TOLERANCES[stage]
    if isinstance(expected, str) and isinstance(found, str):
        return expected == found or not allowed.ids
    if isinstance(expected, int) and isinstance(found, int):
        return abs(expected - found) <= allowed.counts
    if isinstance(expected, float) and isinstance(found, (float, int)):
        return math.isclose(expected, found, rel_tol=allowed.numbers, abs_tol=allowed.numbers)
    return expected == found


def check(data: Path, *, update: bool) -> None:
    """Compare a run with the golden figures, or make its figures the golden ones."""
    found = collect(data)
    if update:
        text = yaml.safe_dump(found, sort_keys=False, default_flow_style=None, width=100)
        GOLDEN.write_text(f"# Written by golden.py; see there.\n{text}")
    lines = differences(yaml.safe_load(GOLDEN.read_text()), found)
    assert not lines, "\n".join(["other figures than in golden.yaml:", *lines])
