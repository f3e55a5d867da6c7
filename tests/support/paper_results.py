"""Detectors of all arms with errors of known size, and what stage `evaluate` measures."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from facsimile.editing.ablation import VARIANTS
from facsimile.faces.arms import ALL_GENERATED
from facsimile.faces.aus import AUS
from facsimile.faces.demographics import CELL_NAMES
from facsimile.faces.origins import REAL
from facsimile.files import to_json
from facsimile.paper import TRIALS, edit_findings, face_findings, findings
from facsimile.paper.comparisons import Comparisons, People, Run
from facsimile.paper.edit_fidelity import (
    DEFAULT,
    EXACT,
    IDENTITY,
    READ,
    SCORES,
    UNEDITED,
    linearity_of,
    measure_effects,
    measure_linearity,
    summarise_effects,
    summarise_pairs,
)
from facsimile.report import gallery_rows

SEEDS = 3
NOISE = {REAL: 0.3, ALL_GENERATED: 0.15, "further": 0.1, "real-double": 0.25, "plain": 0.35}
"""Standard deviation of the errors of some arms; 0.2 for all others."""


def make_people(count: int, seed: int, groups: bool = False) -> People:
    rng = np.random.default_rng(seed)
    active = rng.random((count, len(AUS))) < 0.3
    labels = np.where(active, rng.uniform(0.3, 1, active.shape), 0)
    subjects = np.array([f"p{n % 12}" for n in range(count)])
    cells = np.array([CELL_NAMES[n % 6] for n in range(count)]) if groups else None
    return People(labels, subjects, cells)


@pytest.fixture(scope="session")
def scene() -> findings.Scene:
    people = {
        "validation": make_people(120, 1),
        "mine": make_people(120, 2),
        "population": make_people(240, 3, groups=True),
    }
    arms = {}
    for arm in (REAL, ALL_GENERATED, *TRIALS):
        rng = np.random.default_rng(sum(map(ord, arm)))
        noise = NOISE.get(arm, 0.2)
        arms[arm] = [
            Run(
                {
                    name: group.labels + noise * rng.standard_normal(group.labels.shape)
                    for name, group in people.items()
                },
                np.full(len(AUS), 0.25),
            )
            for _ in range(SEEDS)
        ]
    compared = Comparisons(people, arms, seed=0, draws=100)
    return findings.Scene(compared, "population", ("mine",), "validation")


@pytest.fixture(scope="session")
def counts() -> pd.DataFrame:
    rows = [
        {"origin": origin, "au": au, "active": 10 * (k + 1) if origin == REAL else 100}
        for origin in (REAL, "edited")
        for k, au in enumerate(AUS)
    ]
    return pd.DataFrame(rows)


@pytest.fixture(scope="session")
def correlations() -> pd.DataFrame:
    rows = [
        {"panel": panel, "au": au, "other": other, "r": 1.0 if au == other else r}
        for panel, r in (
            ("labels_real", 0.2),
            ("estimator_real", -0.2),
            ("estimator_generated", 0.05),
        )
        for au in AUS
        for other in AUS
    ]
    return pd.DataFrame(rows)


@pytest.fixture(scope="session")
def sections(scene, counts, correlations, edit_tables, tmp_path_factory) -> dict:
    folder = tmp_path_factory.mktemp("fidelity")
    edit_tables(folder)
    edits = json.loads((folder / "metrics.json").read_text())
    summary, effects, linear = (
        pd.read_parquet(folder / f"{name}.parquet") for name in ("summary", "effects", "linearity")
    )
    evaluated = {"neutralization": {"recall": 0.8, "residual_before": 0.1, "residual_after": 0.04}}
    return {
        "occurrence": face_findings.occurrence(counts),
        "correlation": face_findings.correlation(correlations),
        "detection": findings.detection(scene),
        "learning_curve": findings.learning_curve(scene, 17, 2720),
        "pair_fpr": findings.pair_fpr(scene),
        "fidelity": edit_findings.fidelity(summary, edits),
        "disentanglement": edit_findings.disentanglement(summary, effects, edits),
        "linearity": edit_findings.linearity(linear, edits),
        "strategies": findings.strategies(scene),
        "ablation": findings.ablation(scene),
        "neutralization": face_findings.neutralization(evaluated),
        "amount": findings.amount(scene, 2400),
        "groups": findings.groups(scene),
    }


@pytest.fixture(scope="session")
def edit_tables() -> Callable[[Path], None]:
    """Writes what stage `fidelity` writes."""
    editors = [UNEDITED, *VARIANTS, DEFAULT, IDENTITY]

    def write(folder: Path) -> None:
        rng = np.random.default_rng(0)
        pairs = pd.DataFrame(
            [
                {"pair_id": f"{person}/{n}", "subject_id": person, "n_aus": n, "editor": editor}
                for editor in editors
                for person in ("a", "b", "c")
                for n in (1, 2, 3)
            ]
        )
        for score in SCORES:
            pairs[score] = rng.random(len(pairs))
        summary = [summarise_pairs(pairs, by, 0.6) for by in (["editor"], ["editor", "n_aus"])]
        summary = pd.concat(summary).astype({"n_aus": "Int64"})
        singles = pd.DataFrame(
            [
                {"editor": editor, "edited_au": au, "s": s}
                for editor in (EXACT, *VARIANTS, DEFAULT)
                for au in AUS
                for s in (0.5, 1.0)
            ]
        )
        for name in READ:
            singles[name] = rng.random(len(singles))
        effects = measure_effects(singles[singles["s"] == 1.0])
        linear = measure_linearity(singles[singles["editor"].isin([EXACT, DEFAULT])], {})
        summary.to_parquet(folder / "summary.parquet", index=False)
        effects.to_parquet(folder / "effects.parquet", index=False)
        linear.to_parquet(folder / "linearity.parquet", index=False)
        image = np.zeros((1, 8, 8, 3), np.uint8)
        sheet = gallery_rows("targets", ["person 1"], ["source"], image)
        pq.write_table(sheet, folder / "examples.parquet")
        overall = summarise_pairs(pairs, ["editor"], 0.6).set_index("editor")
        metrics = {
            "au_mae": overall.at[DEFAULT, "au_mae"],
            "pairs": 9,
            "people": 3,
            "estimator_mae": 0.05,
            "identity_threshold": 0.6,
            "singles": summarise_effects(effects, {}).set_index("editor").to_dict("index"),
            "linearity": {
                name: linearity_of(rows) for name, rows in linear.groupby("editor", sort=False)
            },
        }
        (folder / "metrics.json").write_text(json.dumps(to_json(metrics)))

    return write
