"""Measure detectors, edits and synthesis, and write the report.

    python -m tasks.evaluate [--device cuda]

Reads   all artefacts, data/oracle (an estimator that no stage trains on), dvc.lock; params
        datasets, sampling, evaluate.
Writes  data/evaluate/report.html, figures/*.png, contact_sheet.png, metrics.json and the tables
        behind them (listed in facsimile/report/evidence.py).
"""

import json
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from facsimile.detection import AUDetector, AUOracle
from facsimile.editing import Neutralizer, load_editor
from facsimile.faces.annotation import keep_labels, keep_readings
from facsimile.faces.aus import AUS
from facsimile.faces.origins import REAL
from facsimile.faces.picture_store import picture_store
from facsimile.faces.tables import read_faces, read_located, read_table
from facsimile.generator import Generator
from facsimile.measurement import (
    CorrelationScores,
    DetectionScores,
    DetectorRun,
    DomainScores,
    EditScores,
    NeutralizationScores,
    count_aus,
    filter_metrics,
    oracle_metrics,
    score_correlations,
    score_detectors,
    score_edits,
    score_neutralization,
)
from facsimile.report import contact_sheet, write_figures, write_report
from tasks.helpers import gallery_faces
from tasks.helpers.codes import read_encoded, stack_codes
from tasks.helpers.detectors import seed_folders
from tasks.helpers.generator_loading import load_generator
from tasks.helpers.identity import identity_threshold
from tasks.helpers.image_readings import read_images
from tasks.params import PARAMS, DatasetsParams, EvaluateParams, SamplingParams
from tasks.params.section import read_yaml
from tasks.provenance.dvc_files import declared_stages, locked_stages
from tasks.provenance.git import current_revision
from tasks.shared.artefacts import (
    EDIT,
    EDITOR,
    FILTER,
    GENERATOR,
    NEUTRALIZER_FILE,
    ORACLE,
    SYNTHESIZE,
    TRAIN,
    learned_aus,
    read_splits,
    unannotated_ids,
)
from tasks.shared.stage import Compute, main, progress, write_json

PACKAGES = ("diffusers", "numpy", "pandas", "scikit-learn", "torch", "torchvision")


def run(
    out: Path,
    compute: Compute,
    datasets: DatasetsParams,
    sampling: SamplingParams,
    evaluate: EvaluateParams,
) -> dict[str, Any]:
    """Compute all metrics, then render figures and report."""
    oracle = AUOracle.load(ORACLE, compute.device)
    generator = load_generator(compute, sampling)
    aus = learned_aus(datasets.aus)
    test, train = (read_real(datasets.aus, split, aus) for split in ("test", "train"))
    detection = score_detection(datasets, evaluate, aus, out)
    correlations = score_entanglement(train, oracle, aus)
    edits = score_edited_faces(train, oracle, aus)
    neutralization = score_identities(datasets.aus, oracle, generator, aus)
    test_readings, _ = read_images(oracle.predict_with_embeddings, test)
    agreement = oracle_metrics(test[list(AUS)].to_numpy(float), test_readings)
    metrics = (
        detection.metrics()
        | correlations.metrics()
        | {"oracle": agreement}
        | edits.metrics()
        | neutralization.metrics()
        | {"filter": filter_metrics(pd.read_parquet(FILTER / "decisions.parquet"))}
        | {"generator": json.loads((GENERATOR / "metrics.json").read_text())}
    )
    if aus != AUS:
        metrics["aus"] = list(aus)
    editor = load_editor(EDITOR)
    tables = (
        detection.tables()
        | correlations.tables()
        | edits.tables()
        | neutralization.tables()
        | {"au_counts": count_aus(read_training_faces(train, aus))}
        | {"editor": editor.report()}
    )
    for name, table in tables.items():
        table.to_parquet(out / f"{name}.parquet", index=False)

    sheets = (
        gallery_faces.edited_people(
            generator, editor, datasets.aus, evaluate.people, evaluate.intensities
        )
        + gallery_faces.transferred_people(datasets.aus, evaluate.people)
        + gallery_faces.synthetic_people()
        + gallery_faces.described_faces()
        + gallery_faces.rejected_faces()
    )
    faces = pa.concat_tables(sheets)
    pq.write_table(faces, out / "gallery.parquet")
    picture = contact_sheet(faces.to_pandas(), faces["sheet"][0].as_py())
    Image.fromarray(picture).save(out / "contact_sheet.png")

    write_json(out / "metrics.json", metrics)
    write_figures(out, out / "figures")
    write_report(out, lineage(), out / "report.html")
    return metrics


def score_detection(
    datasets: DatasetsParams, evaluate: EvaluateParams, aus: tuple[str, ...], out: Path
) -> DomainScores:
    """Score every detector on the test split of the AU set, then on the other test sets."""
    detectors = [
        (arm.name, seed, AUDetector.load(folder))
        for arm in TRAIN.iterdir()
        for seed, folder in seed_folders(arm).items()
    ]
    # The baseline comes first, regardless of its name.
    detectors.sort(key=lambda detector: (detector[0] != REAL, *detector[:2]))
    scores: dict[str, DetectionScores] = {}
    for name in (datasets.aus, *datasets.tests):
        faces = read_real(name, "test", aus)
        with picture_store(out, progress) as store:
            images = store.decode(faces)
            runs = [
                DetectorRun(arm, seed, model.predict(images), model.thresholds.numpy())
                for arm, seed, model in detectors
            ]
        scores[name] = score_detectors(
            faces[list(AUS)].to_numpy(float),
            faces["subject_id"].to_numpy(),
            runs,
            seed=evaluate.seed,
        )
    return DomainScores(scores)


def score_entanglement(
    train: pd.DataFrame, oracle: AUOracle, aus: tuple[str, ...]
) -> CorrelationScores:
    """Compare AU co-occurrence in real training faces and accepted generated faces."""
    readings = []
    for faces in (train, read_located(FILTER / "faces", ["sample_id"])):
        read, _ = read_images(oracle.predict_with_embeddings, faces)
        readings.append(keep_readings(read, aus))
    return score_correlations(train[list(AUS)].to_numpy(float), *readings)


def score_edited_faces(train: pd.DataFrame, oracle: AUOracle, aus: tuple[str, ...]) -> EditScores:
    """Compare edits of single AUs with their sources, before filtering.

    Only faces annotated as neutral count as sources.
    """
    columns = ["sample_id", "source_id", "edited_au", "intensity"]
    edited = read_located(EDIT / "faces", columns).dropna(subset="edited_au")
    edited = edited[~edited["source_id"].isin(unannotated_ids())]
    sources = edited["source_id"].unique()
    faces = train.set_index("sample_id").loc[sources].reset_index()
    rows = pd.Index(sources).get_indexer(edited["source_id"])
    before, embedding = (
        values[rows] for values in read_images(oracle.predict_with_embeddings, faces)
    )
    after, edited_embedding = read_images(oracle.predict_with_embeddings, edited)
    threshold = identity_threshold()
    return score_edits(
        keep_readings(before, aus), after, embedding, edited_embedding, edited, threshold
    )


def score_identities(
    dataset: str, oracle: AUOracle, generator: Generator, aus: tuple[str, ...]
) -> NeutralizationScores:
    """AU activity of synthetic people before and after neutralization."""
    path = SYNTHESIZE / "identities"
    identities = read_table(path, ["sample_id"]).assign(table=str(path))
    before, after = (
        keep_readings(read_images(oracle.predict_with_embeddings, identities, column)[0], aus)
        for column in ("sampled_image", "image")
    )
    val = keep_labels(read_encoded(dataset, generator, "val"), aus)
    neutralizer = Neutralizer.load(NEUTRALIZER_FILE)
    predictions = neutralizer.predict(stack_codes(val["z"]))
    return score_neutralization(
        before, after, val_labels=val[list(AUS)].to_numpy(float), val_predictions=predictions
    )


def read_training_faces(train: pd.DataFrame, aus: tuple[str, ...]) -> pd.DataFrame:
    """Origins and AUs of real and accepted generated training faces."""
    columns = ["sample_id", "origin", *AUS]
    return pd.concat([train[columns], keep_labels(read_faces(FILTER / "faces", columns), aus)])


def read_real(dataset: str, split: str, aus: tuple[str, ...]) -> pd.DataFrame:
    """Faces of one split with labels of these AUs."""
    columns = ["sample_id", "subject_id", "split", "origin", *AUS]
    return keep_labels(read_splits(dataset, (split,), columns)[0], aus)


def lineage() -> dict[str, Any]:
    """Provenance: params, hashes of all earlier artefacts, commit and packages."""
    revision, declared = current_revision(Path()), declared_stages(Path())
    return {
        "git_commit": revision.commit,
        "git_dirty": revision.changed,
        "git_unknown": revision.unknown,
        "python": platform.python_version(),
        "packages": {name: version(name) for name in PACKAGES},
        "params": read_yaml(PARAMS),
        "stages": [
            {
                "name": name,
                "cmd": stage["cmd"],
                "deps": stage.get("deps", []),
                "outs": stage["outs"],
            }
            for name, stage in locked_stages(Path()).items()
            if name != "evaluate" and name in declared
        ],
    }


if __name__ == "__main__":
    main("evaluate", run)
