"""Measure every claim of the paper, and write the report.

    python -m tasks.paper [--device cuda]

Reads   data/ingest, data/filter, data/train, data/trials, data/population, data/evaluate,
        data/fidelity; params datasets, paper.
Writes  data/paper/results.json (every number of every figure), results.md, report.html,
        figures/*.png, metrics.json (headline figures).
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from facsimile.faces.arms import ALL_GENERATED
from facsimile.faces.origins import REAL
from facsimile.faces.tables import read_faces
from facsimile.files import to_json
from facsimile.paper import TRIALS as PAPER_ARMS
from facsimile.paper import edit_findings, face_findings, findings
from facsimile.paper.claims import CLAIMS
from facsimile.paper.comparisons import Comparisons
from facsimile.paper.markdown import to_markdown
from facsimile.paper.page import write_paper_report
from tasks.helpers.arm_runs import describe, read_runs
from tasks.helpers.detectors import seed_folders
from tasks.helpers.measured_faces import VALIDATION, measured_faces, predict
from tasks.params import DatasetsParams, PaperParams
from tasks.provenance.git import current_revision
from tasks.shared.artefacts import EVALUATE, FIDELITY, FILTER, MEASURED, TRAIN, TRIALS, read_splits
from tasks.shared.machine import describe_machine
from tasks.shared.stage import Compute, main, write_json


def run(
    out: Path, compute: Compute, datasets: DatasetsParams, paper: PaperParams
) -> dict[str, Any]:
    """Score all arms, then write one section per claim."""
    faces = dict(measured_faces(datasets))
    people = {name: describe(rows) for name, rows in faces.items()}
    folders = {arm: seed_folders(TRAIN / arm) for arm in (REAL, ALL_GENERATED)}
    predicted = predict(folders, datasets, compute, out)
    arms = {arm: read_runs(TRAIN / arm, predicted[arm], faces) for arm in folders}
    for arm in PAPER_ARMS:
        path = TRIALS / arm / "predictions.parquet"
        if path.exists():
            arms[arm] = read_runs(TRIALS / arm, pd.read_parquet(path), faces)

    measured = MEASURED if MEASURED in people else datasets.aus
    others = tuple(name for name in people if name not in (measured, VALIDATION))
    compared = Comparisons(people, arms, seed=paper.seed, draws=paper.draws)
    sections = measure(findings.Scene(compared, measured, others, VALIDATION), datasets)
    results = {
        "commit": str(current_revision(Path())),
        "machine": describe_machine(compute.device),
        "measured_on": measured,
        "people": {name: len(np.unique(group.subjects)) for name, group in people.items()},
        "seeds": {arm: len(runs) for arm, runs in arms.items()},
        "sections": to_json(sections),
    }
    write_json(out / "results.json", results)
    (out / "results.md").write_text(to_markdown(results))
    write_paper_report(results, pd.read_parquet(FIDELITY / "examples.parquet"), out)
    return headline(sections)


def measure(scene: findings.Scene, datasets: DatasetsParams) -> dict[str, Any]:
    """All sections, in the order of the report."""
    (train,) = read_splits(datasets.aus, ("train",), ["subject_id", "split"])
    evaluated = json.loads((EVALUATE / "metrics.json").read_text())
    sections = edit_sections() | {
        "occurrence": face_findings.occurrence(pd.read_parquet(EVALUATE / "au_counts.parquet")),
        "correlation": face_findings.correlation(
            pd.read_parquet(EVALUATE / "correlations.parquet")
        ),
        "detection": findings.detection(scene),
        "learning_curve": findings.learning_curve(scene, train["subject_id"].nunique(), len(train)),
        "pair_fpr": findings.pair_fpr(scene),
        "strategies": findings.strategies(scene),
        "ablation": findings.ablation(scene),
        "neutralization": face_findings.neutralization(evaluated),
        "amount": findings.amount(scene, len(read_faces(FILTER / "faces", ["sample_id"]))),
        "groups": findings.groups(scene),
    }
    return {name: sections[name] for name in CLAIMS if sections.get(name)}


def edit_sections() -> dict[str, Any]:
    """Sections on single edits."""
    metrics = json.loads((FIDELITY / "metrics.json").read_text())
    summary, effects, linear = (
        pd.read_parquet(FIDELITY / f"{name}.parquet")
        for name in ("summary", "effects", "linearity")
    )
    return {
        "fidelity": edit_findings.fidelity(summary, metrics),
        "disentanglement": edit_findings.disentanglement(summary, effects, metrics),
        "linearity": edit_findings.linearity(linear, metrics),
    }


def headline(sections: Mapping[str, Any]) -> dict[str, Any]:
    """The figures of metrics.json; the first is the relative gain of F1."""
    measured = sections["detection"]["sets"]
    best = next(iter(measured.values()))["best"]
    fpr = next(iter(sections["pair_fpr"]["sets"].values()))
    curve = sections["learning_curve"]
    return {
        "relative_f1_gain": best["relative"],
        "f1_gain": best["gain"]["mean"],
        "pair_fpr_change": fpr["difference"]["mean"],
        "correlation_ratio": sections["correlation"]["ratio"],
        "worth_of_people": curve["people"]["multiple"]["mean"],
        "share_of_gain": {
            name: ceiling["share_of_gain"] for name, ceiling in curve["ceilings"].items()
        },
    }


if __name__ == "__main__":
    main("paper", run)
