"""Compare all editors on the same faces, and write the report.

    python -m tasks.editor_benchmark [--device cuda] [--batch-size N]

Reads   data/ingest, data/editors, data/editor_trials, data/baseline, data/population, data/encode,
        data/neutralizer, data/generator, data/oracle, data/config/au_graph.yaml; params datasets,
        sampling, ingest, fidelity, paper.
Writes  data/editor_benchmark/results.json (all numbers), results.md, report.html, sheet.png,
        figures/*.png, pairs.parquet (each pair edited by each editor), metrics.json.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from facsimile.benchmark import CONTESTANTS
from facsimile.benchmark.markdown import to_markdown
from facsimile.benchmark.measuring import BenchmarkFaces, EditorBench, Pictures
from facsimile.benchmark.page import write_benchmark_report
from facsimile.benchmark.scores import best, check_claims, summarise
from facsimile.editing import load_editor
from facsimile.faces.aus import AUS
from facsimile.faces.origins import REAL
from facsimile.files import to_json
from facsimile.paper.comparisons import PAIR_FPR, Comparisons
from facsimile.paper.edit_fidelity import compare_editors
from facsimile.report import contact_sheet, gallery_rows
from facsimile.report.sheets import active_aus
from tasks.helpers.arm_runs import describe, read_runs
from tasks.helpers.detectors import seed_folders
from tasks.helpers.edit_pairs import EditPairs, read_pairs
from tasks.helpers.editor_data import read_editor_data
from tasks.helpers.face_reader import load_face_reader
from tasks.helpers.generator_loading import load_generator
from tasks.helpers.identity import identity_threshold
from tasks.helpers.measured_faces import VALIDATION, measured_faces, predict
from tasks.params import (
    DatasetsParams,
    FidelityParams,
    IngestParams,
    PaperParams,
    SamplingParams,
)
from tasks.provenance.git import current_revision
from tasks.shared.artefacts import BASELINE, EDITOR_TRIALS, EDITORS_FOLDER, MEASURED
from tasks.shared.machine import describe_machine
from tasks.shared.stage import Compute, main, progress, write_json

LINEAR = "linear"


def run(
    out: Path,
    compute: Compute,
    datasets: DatasetsParams,
    sampling: SamplingParams,
    ingest: IngestParams,
    fidelity: FidelityParams,
    paper: PaperParams,
) -> dict[str, Any]:
    """Measure the edits of all editors, and the detectors trained on them."""
    generator = load_generator(compute, sampling)
    data = read_editor_data(datasets, generator)
    editors = {name: load_editor(EDITORS_FOLDER / name) for name in CONTESTANTS}
    for editor in editors.values():
        editor.check(generator)
    aus = tuple(au for au in AUS if all(au in editor.aus for editor in editors.values()))
    pairs = read_pairs(datasets, ingest, fidelity, aus)
    reader = load_face_reader(data, generator, compute)
    bench = EditorBench(generator, reader, compute.batch_size)
    faces = prepare(bench, pairs, fidelity)
    threshold = identity_threshold()
    scores: dict[str, dict[str, Any]] = {}
    edited: dict[str, np.ndarray] = {}
    rows = []
    for name, editor in editors.items():
        with progress(name, bench.edits(editor, faces), "edits") as advance:
            tables, edited[name] = bench.measure(editor, faces, advance)
        entailed = {au: editor.entailed(au) for au in editor.aus}
        embeddings = bench.embeddings(edited[name])
        scores[name] = summarise(tables, embeddings, faces.targets.identity, entailed, threshold)
        fitted = json.loads((EDITORS_FOLDER / name / "metrics.json").read_text())
        scores[name]["processor_seconds"] = fitted["processor_seconds"]
        rows.append(tables["pairs"].assign(editor=name))
    table = pd.concat(rows, ignore_index=True)
    table.to_parquet(out / "pairs.parquet", index=False)

    measured = {
        "commit": str(current_revision(Path())),
        "machine": describe_machine(compute.device),
        "people": int(faces.pairs["subject_id"].nunique()),
        "pairs": len(faces.pairs),
        "exact_targets": pairs.single_targets is not None,
        "identity_threshold": threshold,
        "unedited": unedited(bench, faces),
        "scores": scores,
        "methods": [name for name, each in CONTESTANTS.items() if not each.changed],
        "differences": compare_editors(table, LINEAR, seed=fidelity.seed).to_dict("records"),
        "claims": check_claims(scores),
        "detectors": score_detectors(datasets, paper, compute, out),
        "best": {score: best(scores, score) for score in ("au_mae", "icc", "ssim", "neutral_mse")},
    }
    results = to_json(measured)
    write_json(out / "results.json", results)
    (out / "results.md").write_text(to_markdown(results))
    sheet = draw_sheet(pairs, faces, edited, fidelity)
    Image.fromarray(contact_sheet(sheet, "editors")).save(out / "sheet.png")
    write_benchmark_report(results, sheet, out)
    return {"au_mae": scores[LINEAR]["au_mae"]} | {
        name: {score: scores[name][score] for score in ("au_mae", "icc", "drift", "ssim")}
        for name in scores
    }


def prepare(bench: EditorBench, pairs: EditPairs, fidelity: FidelityParams) -> BenchmarkFaces:
    """Invert sources and targets; the expression of each target is copied to the next person."""
    sources, targets = pairs.sources, pairs.pairs
    neutral = np.zeros((len(sources), len(AUS)))
    with progress("invert", len(sources) + len(targets)) as advance:
        calm = bench.prepare(pairs.images(sources), neutral, advance)
        labels = targets[list(AUS)].to_numpy(float)
        reached = bench.prepare(pairs.images(targets), labels, advance)
    source_of = pd.Index(sources["sample_id"]).get_indexer(targets["source_id"])
    return BenchmarkFaces(
        targets[["pair_id", "subject_id", "n_aus"]].reset_index(drop=True),
        calm[source_of],
        reached,
        models_for(pairs, reached),
        calm[np.arange(min(fidelity.single_people, len(sources)))],
        tuple(s for s in fidelity.strengths if 0 < s <= 1),
    )


def models_for(pairs: EditPairs, targets: Pictures) -> Pictures:
    """For each pair, the target of another pair with as many AUs, of another person."""
    rows = pairs.pairs.reset_index(drop=True)
    order = np.arange(len(rows))
    for _, group in rows.groupby("n_aus"):
        order[group.index] = np.roll(group.index, 1)
    return targets[order]


def unedited(bench: EditorBench, faces: BenchmarkFaces) -> dict[str, float]:
    """Scores of the sources themselves."""
    compared = bench.compare(faces.sources.images, faces.targets, faces.sources)
    return {
        **compared[["au_mae", "drift", "ssim", "expression_distance"]].mean().to_dict(),
        "neutral_mse": float(np.nanmean(faces.targets.readings**2)),
    }


def score_detectors(
    datasets: DatasetsParams, paper: PaperParams, compute: Compute, out: Path
) -> dict[str, dict[str, Any]]:
    """F1, ICC and AU-pair FPR of the detectors trained on each editor's faces; set → arm → scores.

    ``gain`` and ``fpr_change`` are differences to real faces alone, with intervals.
    """
    faces = dict(measured_faces(datasets))
    people = {name: describe(rows) for name, rows in faces.items()}
    predicted = predict({REAL: seed_folders(BASELINE)}, datasets, compute, out)[REAL]
    arms = {REAL: read_runs(BASELINE, predicted, faces)}
    for name in CONTESTANTS:
        path = EDITOR_TRIALS / name / "predictions.parquet"
        if path.exists():
            arms[name] = read_runs(EDITOR_TRIALS / name, pd.read_parquet(path), faces)
    compared = Comparisons(people, arms, seed=paper.seed, draws=paper.draws)
    places = [MEASURED if MEASURED in people else datasets.aus, VALIDATION]
    return {
        place: {
            arm: compared.scores(arm, place)
            | (
                {}
                if arm == REAL
                else {
                    "gain": compared.difference(REAL, arm, place),
                    "fpr_change": compared.difference(REAL, arm, place, PAIR_FPR),
                }
            )
            for arm in arms
        }
        for place in places
    }


def draw_sheet(
    pairs: EditPairs,
    faces: BenchmarkFaces,
    edited: dict[str, np.ndarray],
    fidelity: FidelityParams,
) -> pd.DataFrame:
    """One row per editor below source and target; one column per pair of the first people."""
    people = pairs.sources["subject_id"].head(fidelity.examples)
    counts = [1, (1 + fidelity.most) // 2, fidelity.most]
    shown = np.flatnonzero(
        faces.pairs["subject_id"].isin(people) & faces.pairs["n_aus"].isin(counts)
    )
    captions = [active_aus(pairs.pairs.iloc[row]) for row in shown]
    columns = [f"{number}: {text}" for number, text in enumerate(captions, start=1)]
    pictures = {"source": faces.sources.images, "target": faces.targets.images} | {
        CONTESTANTS[name].title: images for name, images in edited.items()
    }
    return pd.concat(
        gallery_rows("editors", [title] * len(shown), columns, images[shown]).to_pandas()
        for title, images in pictures.items()
    ).reset_index(drop=True)


if __name__ == "__main__":
    main("editor_benchmark", run)
