"""The stages trials, pretrain and paper on a small project without further people."""

import json
import shutil
from collections.abc import Iterator
from contextlib import chdir
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from facsimile.detection import AUDetector
from facsimile.faces.aus import AUS
from facsimile.faces.origins import SYNTHETIC, generated_origins
from facsimile.faces.tables import FACE_SCHEMA, GENERATED_SCHEMA, write_shards
from tasks import paper, pretrain, trials
from tasks.helpers.measured_faces import VALIDATION
from tasks.params import read_params
from tasks.shared.artefacts import (
    EVALUATE,
    FIDELITY,
    FILTER,
    INGEST,
    NEUTRAL,
    PLAIN,
    PRETRAIN,
    TRAIN,
    TRIALS,
)
from tasks.shared.stage import Compute, sections_of
from tests.support.detectors import pictures
from tests.support.faces import face_table
from tests.support.project import write_params

pytestmark = pytest.mark.slow

COMPUTE = Compute("cpu", 64, 1)
ARMS = ("people-half", "corrected", "plain", "pretrained", "people-5", "further")
SEEDS = (0, 1)


def annotated(dataset: str, splits: tuple[str, ...]) -> pd.DataFrame:
    ids = [f"{dataset}/p{person}/{frame}" for person in range(6) for frame in range(8)]
    faces = face_table(ids, images=pictures(len(ids)))
    rng = np.random.default_rng(0)
    faces[list(AUS)] = np.where(rng.random((len(ids), len(AUS))) < 0.4, 0.6, 0.0)
    faces["split"] = [splits[person % len(splits)] for person in range(6) for _ in range(8)]
    return faces.assign(dataset=dataset)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A project after `filter`, with two detectors for each arm of `train`."""
    root = tmp_path_factory.mktemp("project")
    changes = {
        "datasets": {"aus": "mine", "attributes": "theirs", "tests": ["other"]},
        "ingest": {"faces": {"mine": 48, "theirs": 48, "other": 48}},
        "detector": {"batch_size": 8, "epoch_faces": 8, "epochs": 1},
        "trials": {"seeds": list(SEEDS)},
        "pretrain": {"steps": 2, "batch_size": 8},
        "paper": {"draws": 20},
    }
    write_params(root, changes)
    with chdir(root):
        write_shards([annotated("mine", ("train", "val", "test"))], INGEST / "mine", FACE_SCHEMA)
        write_shards([annotated("other", ("test",))], INGEST / "other", FACE_SCHEMA)
        theirs = annotated("theirs", ("train",)).assign(**dict.fromkeys(AUS, np.nan))
        write_shards([theirs], INGEST / "theirs", FACE_SCHEMA)
        for name, origin in generated_origins().items():
            ids = [f"{origin.stage}/mine/p0/0/{n}" for n in range(6)]
            images = pictures(len(ids), seed=1)
            made = face_table(ids, images=images, aus=0.4, origin=name, source_id="mine/p0/0")
            write_shards([made], Path("data", origin.stage, "faces"), GENERATED_SCHEMA)
            if name == SYNTHETIC:
                write_shards([made], PLAIN / "faces", GENERATED_SCHEMA)
                write_shards([made], FILTER / "faces", GENERATED_SCHEMA)
        NEUTRAL.mkdir(parents=True)
        pd.DataFrame({"sample_id": ["theirs/p0/0"]}).to_parquet(NEUTRAL / "faces")
        for arm in ("real", "real+generated"):
            for seed in SEEDS:
                AUDetector(64).save(TRAIN / arm / f"seed-{seed}")
        yield root


def run(stage, out: Path, **more: str) -> dict:
    sections = read_params()
    out.mkdir(parents=True)
    used = {name: sections[name] for name in sections_of(stage.run)}
    return stage.run(out, COMPUTE, **used, **more)


@pytest.fixture(scope="module")
def trained(root: Path) -> dict[str, dict]:
    run(pretrain, PRETRAIN)
    return {arm: run(trials, TRIALS / arm, item=arm) for arm in ARMS}


def test_each_seed_is_trained_and_predicts_all_faces(trained: dict[str, dict]) -> None:
    assert trained["people-half"]["faces"] == 8  # one of two people
    assert trained["corrected"]["faces"] == 16 + 6
    predictions = pd.read_parquet(TRIALS / "corrected" / "predictions.parquet")
    counts = predictions.groupby(["seed", "set"]).size().unstack()
    assert list(counts.index) == list(SEEDS)
    assert counts.loc[0].to_dict() == {VALIDATION: 16, "mine": 16, "other": 48}
    assert predictions[list(AUS)].notna().all(axis=None)


def test_an_arm_without_further_people_is_skipped(trained: dict[str, dict]) -> None:
    for arm in ("people-5", "further"):
        assert trained[arm] == {"detectors": 0}
        assert not (TRIALS / arm / "predictions.parquet").exists()


def test_pretraining_reaches_the_detector(trained: dict[str, dict]) -> None:
    """One step away from the pretrained network, and far from another seed's start."""
    weights = {
        name: AUDetector.load(folder).net.features[0][0].weight
        for name, folder in (
            ("pretrained", PRETRAIN),
            ("trained", TRIALS / "pretrained" / "seed-0"),
            ("other", TRIALS / "corrected" / "seed-0"),
        )
    }
    near = (weights["trained"] - weights["pretrained"]).abs().mean()
    assert near < 0.2 * (weights["other"] - weights["pretrained"]).abs().mean()


def test_the_report_shows_what_was_trained(
    trained: dict[str, dict], root: Path, edit_tables, counts, correlations
) -> None:
    EVALUATE.mkdir(parents=True)
    counts.to_parquet(EVALUATE / "au_counts.parquet")
    correlations.to_parquet(EVALUATE / "correlations.parquet")
    neutral = {"recall": 0.8, "residual_before": 0.1, "residual_after": 0.04}
    (EVALUATE / "metrics.json").write_text(json.dumps({"neutralization": neutral}))
    FIDELITY.mkdir()
    edit_tables(FIDELITY)
    shutil.rmtree(paper_folder := Path("data/paper"), ignore_errors=True)
    metrics = run(paper, paper_folder)
    results = json.loads((paper_folder / "results.json").read_text())
    assert results["measured_on"] == "mine"
    assert results["seeds"] == {"real": 2, "real+generated": 2} | dict.fromkeys(
        ("people-half", "corrected", "plain", "pretrained"), 2
    )
    assert next(iter(metrics)) == "relative_f1_gain"
    assert list(results["sections"]["ablation"]["arms"]) == ["plain", "corrected", "real+generated"]
    page = (paper_folder / "report.html").read_text()
    assert "2 people of mine" in page
    assert (paper_folder / "results.md").read_text().startswith("# Results")
