"""The stages that compare editors, with networks that have learnt nothing."""

import json
from contextlib import chdir
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from facsimile.benchmark import CONTESTANTS
from facsimile.benchmark.scores import LOWER_IS_BETTER
from facsimile.detection import AUDetector
from facsimile.editing import load_editor
from facsimile.faces.aus import AUS
from facsimile.faces.origins import REAL
from facsimile.faces.tables import FACE_SCHEMA, read_faces, write_shards
from tasks import editor_benchmark, editor_trials, editors
from tasks.params import read_params
from tasks.shared.artefacts import (
    BASELINE,
    EDITOR_BENCHMARK,
    EDITOR_TRIALS,
    EDITORS_FOLDER,
    INGEST,
    MEASURED,
    NEUTRAL,
    POPULATION,
)
from tasks.shared.stage import Compute, sections_of, write_json
from tests.support.project import write_params
from tests.tasks import test_fidelity

pytestmark = pytest.mark.slow

DATASET = "world-disfa"
PEOPLE = 2
CALIBRATION = {"faces": 1, "scales": [1.0], "epochs": 1}
PICTURES = {"steps": 1, "batch_size": 2, "width": 4, "critic_width": 4}
CHANGES = {
    "editor": {
        "linear": {"calibration": CALIBRATION},
        "dual-branch": {"steps": 2, "calibration": CALIBRATION},
        "relative": PICTURES,
        "absolute": PICTURES,
        "label-free": {"steps": 2, "faces": 6, "width": 8},
    },
    "detector": {"batch_size": 8, "epoch_faces": 8, "epochs": 1},
    "trials": {"seeds": [0]},
    "edit": {"mixed": 0},
    "paper": {"draws": 20},
    "fidelity": {
        "people": PEOPLE,
        "most": 2,
        "single_people": 1,
        "strengths": [0.5, 1.0],
        "examples": 1,
    },
}


def run(stage: Any, out: Path, **more: str) -> None:
    sections = read_params()
    out.mkdir(parents=True)
    used = {name: sections[name] for name in sections_of(stage.run)}
    metrics = stage.run(out, Compute("cpu", 64, 1), **used, **more)
    write_json(out / "metrics.json", metrics)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with all editors, and detectors trained on the faces of one of them."""
    root = tmp_path_factory.mktemp("benchmark")
    test_fidelity.run_stages(root, DATASET)
    write_params(root, test_fidelity.changes(DATASET) | CHANGES)
    with chdir(root):
        NEUTRAL.mkdir()
        none = read_faces(INGEST / "attributes", ["sample_id"]).head(0)
        none.assign(z=None, x_t=None).to_parquet(NEUTRAL / "faces")
        AUDetector(64).save(BASELINE / "seed-0")
        measured = test_fidelity.faces(DATASET, 60, 6).assign(split="test")
        write_shards([measured], POPULATION / MEASURED, FACE_SCHEMA)
        for name in CONTESTANTS:
            run(editors, EDITORS_FOLDER / name, item=name)
        run(editor_trials, EDITOR_TRIALS / "relative", item="relative")
        run(editor_benchmark, EDITOR_BENCHMARK)
    return root


@pytest.fixture(scope="module")
def results(project: Path) -> dict[str, Any]:
    return json.loads((project / EDITOR_BENCHMARK / "results.json").read_text())


def test_variants_differ_from_their_method_by_one_option(project: Path) -> None:
    for name, contestant in CONTESTANTS.items():
        editor = load_editor(project / EDITORS_FOLDER / name)
        assert editor.name == contestant.method and editor.aus == AUS
        assert len(editor.report()) == len(AUS)
    fused, plain = (
        load_editor(project / EDITORS_FOLDER / name) for name in ("relative", "unfused")
    )
    assert fused.network_.config["fusion"] and not plain.network_.config["fusion"]


def test_detectors_are_trained_on_the_same_edits_by_the_editor(project: Path) -> None:
    faces = read_faces(project / EDITOR_TRIALS / "relative" / "faces")
    assert set(faces["editor"]) == {"relative"} and set(faces["edited_au"]) == set(AUS)
    predictions = pd.read_parquet(project / EDITOR_TRIALS / "relative" / "predictions.parquet")
    assert (predictions["set"] == MEASURED).sum() == 60


def test_all_editors_have_all_scores(results: dict[str, Any]) -> None:
    assert list(results["scores"]) == list(CONTESTANTS)
    for scores in results["scores"].values():
        assert scores.keys() >= {*LOWER_IS_BETTER, "processor_seconds"}
        # A picture that does not change has an infinite PSNR, and follows no line.
        unknown = {name for name in LOWER_IS_BETTER if scores[name] is None}
        assert unknown <= {"zero_psnr", "linearity"}
        assert set(scores["au_mae_by_count"]) == {"1", "2"}
    assert results["pairs"] == 2 * PEOPLE and results["exact_targets"]
    assert {row["editor"] for row in results["differences"]} == set(CONTESTANTS) - {"linear"}
    assert len(results["claims"]) == 8


def test_detectors_are_compared_with_those_of_real_faces(results: dict[str, Any]) -> None:
    assert list(results["detectors"]) == [MEASURED, "validation"]
    for arms in results["detectors"].values():
        assert list(arms) == [REAL, "relative"] and "gain" in arms["relative"]


def test_the_report_shows_every_editor(project: Path, results: dict[str, Any]) -> None:
    out = project / EDITOR_BENCHMARK
    page, text = (out / "report.html").read_text(), (out / "results.md").read_text()
    for contestant in CONTESTANTS.values():
        assert contestant.title in page and f"| {contestant.title} |" in text
    assert (out / "sheet.png").exists() and {path.stem for path in (out / "figures").iterdir()} == {
        "au_error",
        "detectors",
    }


def test_every_pair_is_edited_by_every_editor(project: Path) -> None:
    pairs = pd.read_parquet(project / EDITOR_BENCHMARK / "pairs.parquet")
    assert len(pairs) == 2 * PEOPLE * len(CONTESTANTS)
    assert pairs[["au_mae", "ssim", "drift"]].notna().all(axis=None)
