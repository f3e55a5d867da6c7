"""Golden figures: what the stages of a small run must give, so that no result changes unnoticed.

`golden.yaml` holds the metrics of each stage and, for each of its tables, the number of rows, a
digest of the ids, the distribution of each text column, the mean of each column of numbers, and the
mean and spread of codes and pixels. All must be equal on the kind of CPU that wrote them; on others
most may differ a little. Renew them after a deliberate change of results, and read the diff:

    pytest tests/e2e/test_pipeline.py --update-golden
"""

import hashlib
import io
import json
import math
import platform
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
        counts: how much whole numbers may differ.
        details: whether all figures are compared, or only metrics and numbers of rows.
    """

    numbers: float
    counts: int = 0
    details: bool = True


SAME_CPU = Tolerance(1e-5)
# Other CPUs differ in the last bits. Up to `transfer` that stays so. Detectors amplify it, and from
# `neutral` on detectors that have hardly been trained decide which faces are chosen. Measured with
# the kernels for AVX2 against those for SSE: 9 of 79 accepted faces more or less, F1 within 0.06.
# The readings of these detectors correlate by 0.05 with labels on one CPU, by -0.06 on another.
OTHER_CPU = {
    "sources": Tolerance(0),
    "ingest": Tolerance(1e-5),
    "encode": Tolerance(1e-3),
    "editor": Tolerance(1e-3),
    "neutralizer": Tolerance(1e-3),
    "synthesize": Tolerance(5e-3),
    "transfer": Tolerance(1e-3),
    "describe": Tolerance(0),
    "baseline": Tolerance(0.2),
    "neutral": Tolerance(0.02, details=False),
    "edit": Tolerance(0.05, details=False),
    "filter": Tolerance(0.2, counts=12, details=False),
    "train": Tolerance(0.2, counts=12, details=False),
    "evaluate": Tolerance(0.2, counts=12, details=False),
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
        if folder.name in OTHER_CPU and (folder / "metrics.json").exists()
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


def differences(expected: Mapping[str, Any], found: Mapping[str, Any]) -> list[str]:
    """One line for each figure that is missing, new or too far from the golden one."""
    same_cpu = expected["cpu"] == found["cpu"]
    lines = []
    for stage, other_cpu in OTHER_CPU.items():
        old, new = (
            dict(flatten(figures["stages"].get(stage, {}))) for figures in (expected, found)
        )
        tolerance = SAME_CPU if same_cpu else other_cpu
        for name in sorted(old.keys() | new.keys()):
            if tolerance.details or name.startswith("metrics.") or name.endswith(".rows"):
                before, after = old.get(name), new.get(name)
                if not agree(tolerance, before, after):
                    lines.append(f"{stage}: {name}: {before} → {after}")
    return lines


def agree(tolerance: Tolerance, expected: Any, found: Any) -> bool:
    """Whether a figure is the golden one; None where there is none."""
    if not tolerance.details and isinstance(expected or found, int):
        expected, found = expected or 0, found or 0  # counts of reasons that do not occur
    if isinstance(expected, int) and isinstance(found, int):
        return abs(expected - found) <= tolerance.counts
    if isinstance(expected, float) and isinstance(found, (float, int)):
        return math.isclose(expected, found, rel_tol=tolerance.numbers, abs_tol=tolerance.numbers)
    return expected == found


def read_cpu() -> str:
    """Model and instruction sets of this CPU, on which the last bits of results depend."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    fields = dict(reversed([map(str.strip, line.split(":", 1)) for line in lines if ":" in line]))
    flags = hashlib.sha256(fields.get("flags", "").encode()).hexdigest()[:8]
    return f"{fields.get('model name', platform.processor())} {flags}"


def check(data: Path, *, update: bool) -> None:
    """Compare a run with the golden figures, or make its figures the golden ones."""
    found = {"cpu": read_cpu(), "stages": collect(data)}
    if update:
        text = yaml.safe_dump(found, sort_keys=False, default_flow_style=None, width=100)
        GOLDEN.write_text(f"# Written by golden.py; see there.\n{text}")
    lines = differences(yaml.safe_load(GOLDEN.read_text()), found)
    assert not lines, "\n".join(["other figures than in golden.yaml:", *lines])
