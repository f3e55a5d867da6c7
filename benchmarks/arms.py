"""Scores of all training arms of a run: validation and test people, other datasets, population.

    python -m benchmarks.arms [--json FILE]

Reads the detectors in data/train, and data/population if it is there (`dvc repro population`).
"""

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from facsimile.faces.aus import AUS
from facsimile.measurement import DetectorRun, score_detectors
from facsimile.result_table import Table, table_lines
from tasks.helpers.arm_runs import read_runs
from tasks.helpers.detectors import seed_folders
from tasks.helpers.measured_faces import measured_faces, predict
from tasks.params import PARAMS, read_params
from tasks.params.section import read_yaml
from tasks.provenance.git import read_revision
from tasks.shared.artefacts import TRAIN
from tasks.shared.stage import Compute

SCORES = {"f1": "F1", "icc": "ICC", "au_pair_fpr": "AU-pair false positives"}


def measure(compute: Compute) -> dict[str, Any]:
    """Mean and standard error over seeds of each score, for each set and arm of this project."""
    datasets = read_params()["datasets"]
    folders = {arm.name: seed_folders(arm) for arm in sorted(TRAIN.iterdir()) if arm.is_dir()}
    predictions = predict(folders, datasets, compute, TRAIN)
    people_of = dict(measured_faces(datasets))
    trained = {arm: read_runs(TRAIN / arm, predictions[arm], people_of) for arm in folders}
    sets: dict[str, Any] = {}
    for name, faces in people_of.items():
        runs = [
            DetectorRun(arm, seed, run.predictions[name], run.thresholds)
            for arm, seeds in folders.items()
            for seed, run in zip(seeds, trained[arm], strict=True)
        ]
        labels, people = faces[list(AUS)].to_numpy(float), faces["subject_id"].to_numpy()
        scores = score_detectors(labels, people, runs, seed=0).metrics()
        sets[name] = {
            arm: {
                score: {part: scores[score][arm][part] for part in ("mean", "se")}
                for score in SCORES
            }
            for arm in folders
        } | {"people": len(np.unique(people))}
    metrics = json.loads((TRAIN / "metrics.json").read_text())
    return {
        "commit": read_revision(Path()).commit,
        "describe": read_yaml(PARAMS)["describe"],
        "faces": {arm: metrics[arm]["faces"] for arm in folders if "faces" in metrics[arm]},
        "seeds": {arm: len(seeds) for arm, seeds in folders.items()},
        "sets": sets,
    }


def to_markdown(results: Mapping[str, Any]) -> str:
    """A table with one row per set and arm."""
    rows = [
        [name, arms["people"], arm, *(arms[arm][score]["mean"] for score in SCORES)]
        for name, arms in results["sets"].items()
        for arm in results["seeds"]
    ]
    table = Table(["people of", "number", "trained on", *SCORES.values()], rows)
    return "\n".join(table_lines(table)) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, help="file to write")
    path = parser.parse_args().json
    results = measure(Compute("cpu", batch_size=64, workers=1))
    if path:
        path.write_text(json.dumps(results, indent=2) + "\n")
    print(to_markdown(results))


if __name__ == "__main__":
    main()
