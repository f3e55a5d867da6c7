"""Measure detectors, edits and synthesis on held-out faces, and write the report.

    python -m tasks.evaluate [--device cuda]

Reads   all artefacts, data/oracle (an estimator that no stage trains on), dvc.lock; params
        datasets, sampling, evaluate.
Writes  data/evaluate/report.html, figures/*.png, contact_sheet.png, metrics.json and the tables
        behind them (facsimile/report/evidence.py lists them).
"""

import json
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import torch
import yaml
from PIL import Image

from facsimile.detection import AUDetector, AUOracle
from facsimile.editing import Directions, Neutralizer
from facsimile.faces.annotation import only
from facsimile.faces.arms import REAL
from facsimile.faces.aus import AUS
from facsimile.faces.tables import decode_images, read_faces, read_table
from facsimile.generator import Generator
from facsimile.measurement import (
    DetectionScores,
    DetectorRun,
    correlation_metrics,
    count_aus,
    edit_effects,
    edit_metrics,
    filter_metrics,
    identity_metrics,
    neutralization_metrics,
    oracle_metrics,
    score_detectors,
)
from facsimile.report import contact_sheet, write_figures, write_report
from tasks.params import PARAMS, Datasets, Evaluate, Sampling
from tasks.shared import gallery
from tasks.shared.artefacts import (
    DIRECTIONS,
    EDIT,
    FILTER,
    GENERATOR,
    NEUTRALIZER,
    ORACLE,
    SYNTHESIZE,
    TRAIN,
    read_splits,
    taught_aus,
    unannotated_ids,
)
from tasks.shared.data import load_generator, read_encoded, stack
from tasks.shared.revision import current_revision
from tasks.shared.stage import Compute, main, write_json

PACKAGES = ("diffusers", "numpy", "pandas", "scikit-learn", "torch", "torchvision")


def run(
    out: Path, compute: Compute, datasets: Datasets, sampling: Sampling, evaluate: Evaluate
) -> dict[str, Any]:
    """Measure everything, then draw it."""
    oracle = AUOracle.load(ORACLE, compute.device)
    generator = load_generator(compute, sampling)
    aus = taught_aus(datasets.aus)
    metrics = (
        detection(out, datasets, evaluate, aus)
        | correlations(out, datasets, oracle, aus)
        | edits(out, datasets, oracle, aus)
        | neutralization(out, datasets, oracle, generator, aus)
        | {"filter": filter_metrics(pd.read_parquet(FILTER / "decisions.parquet"))}
        | {"generator": json.loads((GENERATOR / "metrics.json").read_text())}
    )
    if aus != AUS:
        metrics["aus"] = list(aus)
    au_counts(out, datasets, aus)
    directions = Directions.load(DIRECTIONS / "directions.parquet")
    shown = ["name", "kind", "conditioned_on", "projected_off", "entails", "pearson"]
    directions.table[[*shown, "norm_before", "norm_after"]].to_parquet(out / "directions.parquet")

    sheets = (
        gallery.edited_people(
            generator, directions, datasets.aus, evaluate.people, evaluate.intensities
        )
        + gallery.transferred_people(datasets.aus, evaluate.people)
        + gallery.synthetic_people()
        + gallery.rejected_faces()
    )
    faces = pa.concat_tables(sheets)
    pq.write_table(faces, out / "gallery.parquet")
    picture = contact_sheet(faces.to_pandas(), faces["sheet"][0].as_py())
    Image.fromarray(picture).save(out / "contact_sheet.png")

    write_json(out / "metrics.json", metrics)
    write_figures(out, out / "figures")
    write_report(out, lineage(), out / "report.html")
    return metrics


def detection(
    out: Path, datasets: Datasets, evaluate: Evaluate, aus: tuple[str, ...]
) -> dict[str, Any]:
    """Score every detector on the test split of its domain, then on the other test sets."""
    detectors = [
        (folder.parent.name, int(folder.name.removeprefix("seed-")), AUDetector.load(folder))
        for folder in sorted(TRAIN.glob("*/seed-*"))
    ]
    # The baseline first, whatever its name.
    detectors.sort(key=lambda detector: (detector[0] != REAL, *detector[:2]))
    scores: dict[str, DetectionScores] = {}
    for name in (datasets.aus, *datasets.tests):
        faces = read_real(name, "test", aus)
        images, labels = decode_images(faces), faces[list(AUS)].to_numpy(float)
        runs = [
            DetectorRun(arm, seed, model.predict(images), model.thresholds.numpy())
            for arm, seed, model in detectors
        ]
        scores[name] = score_detectors(
            labels, faces["subject_id"].to_numpy(), runs, seed=evaluate.seed
        )
    per_au = [score.per_au.assign(test_set=name) for name, score in scores.items()]
    pd.concat(per_au).to_parquet(out / "detection.parquet", index=False)
    own = scores[datasets.aus]
    pairs = [
        long_form(matrix, "absent", "present", "fpr").assign(arm=arm)
        for arm, matrix in own.pair_fpr.items()
    ]
    pd.concat(pairs).to_parquet(out / "au_pair_fpr.parquet", index=False)
    return own.metrics() | {
        "cross_dataset": {name: scores[name].metrics() for name in datasets.tests}
    }


def correlations(
    out: Path, datasets: Datasets, oracle: AUOracle, aus: tuple[str, ...]
) -> dict[str, Any]:
    """How AUs go together in real and in accepted generated faces; what the oracle is worth."""
    test = read_real(datasets.aus, "test", aus)
    train = read_real(datasets.aus, "train", aus)
    generated = read_faces(FILTER / "faces", ["sample_id", "image"])
    metrics, matrices = correlation_metrics(
        train[list(AUS)].to_numpy(float),
        of(oracle.aus(decode_images(train)), aus),
        of(oracle.aus(decode_images(generated)), aus),
    )
    panels = [
        long_form(matrix, "au", "other", "r").assign(panel=panel)
        for panel, matrix in matrices.items()
    ]
    pd.concat(panels).to_parquet(out / "correlations.parquet", index=False)
    read = oracle.aus(decode_images(test))
    return {
        "inter_au_correlation": metrics,
        "oracle": oracle_metrics(test[list(AUS)].to_numpy(float), read),
    }


def edits(out: Path, datasets: Datasets, oracle: AUOracle, aus: tuple[str, ...]) -> dict[str, Any]:
    """What edits of one AU did to AUs and to identity, before anything was filtered out.

    Of faces whose annotation says that they are neutral.
    """
    columns = ["sample_id", "source_id", "edited_au", "intensity", "image"]
    edited = read_faces(EDIT / "faces", columns).dropna(subset="edited_au")
    edited = edited[~edited["source_id"].isin(unannotated_ids())]
    sources = edited["source_id"].drop_duplicates()
    faces = read_real(datasets.aus, "train", aus).set_index("sample_id").loc[sources].reset_index()
    row_of = pd.Series(np.arange(len(sources)), index=sources.to_numpy())
    rows = row_of[edited["source_id"]].to_numpy()
    before, person = (values[rows] for values in oracle.predict(decode_images(faces)))
    after, edited_person = oracle.predict(decode_images(edited))
    effects = edit_effects(of(before, aus), after, edited["edited_au"], edited["intensity"])
    effects.rename_axis("edited_au").reset_index().to_parquet(
        out / "edit_effects.parquet", index=False
    )
    threshold = json.loads((ORACLE / "metrics.json").read_text())["identity"]["threshold"]
    return {
        "edit": edit_metrics(effects),
        "identity": identity_metrics(person, edited_person, threshold),
    }


def neutralization(
    out: Path,
    datasets: Datasets,
    oracle: AUOracle,
    generator: Generator,
    aus: tuple[str, ...],
) -> dict[str, Any]:
    """AU activity of synthetic people before and after neutralization."""
    identities = read_table(SYNTHESIZE / "identities", ["sample_id", "image", "sampled_image"])
    sampled = identities.drop(columns="image").rename(columns={"sampled_image": "image"})
    before, after = (of(oracle.aus(decode_images(faces)), aus) for faces in (sampled, identities))
    activity = {"au": AUS, "before": before.mean(0), "after": after.mean(0)}
    pd.DataFrame(activity).to_parquet(out / "activity.parquet", index=False)
    val = only(read_encoded(datasets.aus, generator, "val"), aus)
    network = Neutralizer.load(NEUTRALIZER / "neutralizer.safetensors")
    with torch.inference_mode():
        predictions = network(torch.from_numpy(stack(val["z"])))[0].numpy()
    return {
        "neutralization": neutralization_metrics(
            before,
            after,
            val_labels=val[list(AUS)].to_numpy(float),
            val_predictions=predictions,
        )
    }


def au_counts(out: Path, datasets: Datasets, aus: tuple[str, ...]) -> None:
    """Training faces of each origin on which each AU is annotated and active."""
    columns = ["sample_id", "origin", *AUS]
    real = read_real(datasets.aus, "train", aus)[columns]
    faces = pd.concat([real, only(read_faces(FILTER / "faces", columns), aus)])
    count_aus(faces).to_parquet(out / "au_counts.parquet", index=False)


def read_real(dataset: str, split: str, aus: tuple[str, ...]) -> pd.DataFrame:
    """Faces of one split with images and labels of these AUs."""
    columns = ["sample_id", "subject_id", "split", "origin", "image", *AUS]
    return only(read_splits(dataset, (split,), columns)[0], aus)


def of(readings: np.ndarray, aus: tuple[str, ...]) -> np.ndarray:
    """Readings (N, 12) with NaN in place of those of other AUs."""
    return np.where(np.isin(AUS, aus), readings, np.float32(np.nan))


def long_form(matrix: np.ndarray, row: str, column: str, value: str) -> pd.DataFrame:
    """A (12, 12) matrix as one row an entry."""
    places = {row: np.repeat(AUS, len(AUS)), column: np.tile(AUS, len(AUS))}
    return pd.DataFrame({**places, value: matrix.ravel()})


def lineage() -> dict[str, Any]:
    """What everything was made of: params, hashes of all artefacts so far, commit and packages."""
    lock = Path("dvc.lock")
    stages = yaml.safe_load(lock.read_text())["stages"] if lock.exists() else {}
    revision = current_revision(Path())
    return {
        "git_commit": revision.commit,
        "git_dirty": revision.changed,
        "git_unknown": revision.unknown,
        "python": platform.python_version(),
        "packages": {name: version(name) for name in PACKAGES},
        "params": yaml.safe_load(PARAMS.read_text()),
        "stages": [
            {
                "name": name,
                "cmd": stage["cmd"],
                "deps": stage.get("deps", []),
                "outs": stage["outs"],
            }
            for name, stage in stages.items()
            if name != "evaluate"
        ],
    }


if __name__ == "__main__":
    main("evaluate", run)
