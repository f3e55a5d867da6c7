"""An evaluate folder as the evaluate stage leaves it, with made-up figures and tiny faces."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from facsimile.faces.aus import AUS
from facsimile.files import to_json
from facsimile.measurement import DetectorRun, DomainScores, score_correlations, score_detectors
from facsimile.report import gallery_rows

ARM_NOISE = {
    "real": 0.30,
    "real+edited": 0.22,
    "real+transferred": 0.21,
    "real+synthetic": 0.20,
    "real+described": 0.19,
    "real+generated": 0.14,
}


def grey_images(count: int) -> np.ndarray:
    """uint8 (count, 16, 16, 3), each of one grey."""
    greys = np.linspace(40, 220, count).astype(np.uint8)
    return np.broadcast_to(greys[:, None, None, None], (count, 16, 16, 3)).copy()


def gallery() -> pa.Table:
    edits = ["original", "reconstruction", *(f"{au} {s}" for au in AUS for s in (0.5, 1.0))]
    samples = ["sampled", "neutralized", *AUS]
    sheets = [("edited", ["person 1", "person 2"], edits)]
    sheets += [("synthetic", ["female young", "male old"], samples)]
    tables = [
        gallery_rows(sheet, np.repeat(rows, len(columns)), columns * len(rows), grey_images(count))
        for sheet, rows, columns in sheets
        for count in [len(rows) * len(columns)]
    ]
    captions = ["score 0.12 < 0.50", "score 0.31 < 0.50", "distance 0.91 > 0.60"]
    reasons = ["au_consistency", "au_consistency", "identity"]
    tables.append(gallery_rows("rejected", reasons, ["0", "1", "0"], grey_images(3), captions))
    return pa.concat_tables(tables)


def entangled(rng: np.random.Generator, count: int, shared: float) -> np.ndarray:
    """Intensities (count, 12) with a common cause of weight `shared`."""
    common = rng.normal(size=(count, 1)) * shared
    return np.clip(common + rng.normal(size=(count, len(AUS))) - 0.8, 0, 1)


def write_evidence(folder: Path, arms: tuple[str, ...] = tuple(ARM_NOISE)) -> Path:
    """Metrics and tables of an evaluation of `arms`, through the code that measures them."""
    rng = np.random.default_rng(0)
    labels, generated = entangled(rng, 200, 1.0), entangled(rng, 200, 0.1)
    runs = [
        DetectorRun(arm, seed, labels + rng.normal(0, noise, labels.shape), np.full(12, 0.1))
        for arm, noise in ARM_NOISE.items()
        if arm in arms
        for seed in range(3)
    ]
    scores = score_detectors(labels, [f"p{i // 20}" for i in range(200)], runs)
    correlations = score_correlations(labels, labels, generated)
    metrics = scores.metrics() | correlations.metrics()
    metrics |= {
        "edit": {"on_target": 0.91, "off_target": 0.05},
        "neutralization": {"recall": 0.83, "residual_before": 0.21, "residual_after": 0.02},
        "identity": {"drift": 0.12, "drift_p95": 0.3, "threshold": 0.5, "lost": 0.015},
        "filter": {
            "candidates": 1000,
            "accepted": 812,
            "rejected_by_reason": {"au_consistency": 120, "identity": 68},
        },
        "oracle": {"pearson": 0.9, "pearson_per_au": dict.fromkeys(AUS, 0.9) | {"AU20": None}},
        "generator": {"ssim_inverted": 0.97, "ssim_random": 0.88, "au_pearson": 0.79},
    }
    folder.mkdir(parents=True)
    (folder / "metrics.json").write_text(json.dumps(to_json(metrics)))
    at_home = scores.per_au.assign(test_set="world-disfa")
    abroad = at_home.assign(test_set="world-feafa", f1=at_home["f1"] * 0.8)
    tables = {
        "au_counts": pd.DataFrame(
            {"origin": origin, "au": au, "active": active}
            for origin, counts in {
                "real": (2000 * 0.6 ** np.arange(12)).astype(int),
                "edited": np.full(12, 700),
                "synthetic": np.full(12, 600),
            }.items()
            for au, active in zip(AUS, counts, strict=True)
        ),
        "detection": pd.concat([at_home, abroad]),
        "au_pair_fpr": DomainScores({"world-disfa": scores}).tables()["au_pair_fpr"],
        **correlations.tables(),
        "edit_effects": pd.DataFrame(
            np.eye(12) * 0.9 + rng.normal(0, 0.04, (12, 12)), list(AUS), list(AUS)
        )
        .rename_axis("edited_au")
        .reset_index(),
        "activity": pd.DataFrame({"au": AUS, "before": rng.uniform(0.1, 0.4, 12), "after": 0.02}),
        "editor": pd.DataFrame(
            {
                "AU": ["AU01"],
                "conditioned on": ["AU02, AU05"],
                "projected off": ["eyeglasses"],
                "r on unseen people": [0.8],
            }
        ),
    }
    for name, table in tables.items():
        table.to_parquet(folder / f"{name}.parquet", index=False)
    pq.write_table(gallery(), folder / "gallery.parquet")
    return folder


@pytest.fixture(scope="session")
def evaluate_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_evidence(tmp_path_factory.mktemp("run") / "evaluate")
