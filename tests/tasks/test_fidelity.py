"""Stage fidelity on rendered people and on photographs, with networks that have learnt nothing."""

import json
import shutil
from contextlib import chdir
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from facsimile.detection import AUOracle
from facsimile.editing import Neutralizer
from facsimile.editing.ablation import VARIANTS
from facsimile.faces.aus import AUS, NUISANCES
from facsimile.faces.tables import FACE_SCHEMA, image_structs, write_shards
from facsimile.generator import DiffAEPipeline, GeneratorConfig, LatentNetConfig, UNetConfig
from facsimile.paper.edit_fidelity import DEFAULT, EXACT, IDENTITY, READ, SCORES, UNEDITED
from facsimile.report.gallery import GALLERY_SCHEMA
from tasks import editor, encode, fidelity
from tasks.params import read_params
from tasks.shared.artefacts import (
    EDITOR,
    ENCODE,
    FIDELITY,
    GENERATOR,
    INGEST,
    NEUTRALIZER_FILE,
    ORACLE,
)
from tasks.shared.stage import Compute, sections_of
from tests.support.project import ROOT, write_params

pytestmark = pytest.mark.slow

SIZE, Z_DIM = 16, 32
PEOPLE = 3
EDITORS = [UNEDITED, *VARIANTS, DEFAULT, IDENTITY]
Measured = tuple[dict, dict[str, pd.DataFrame]]
CALIBRATION = {"faces": 2, "scales": [1.0], "epochs": 1}


def changes(dataset: str) -> dict[str, dict]:
    return {
        "datasets": {"aus": dataset, "attributes": "attributes", "tests": []},
        "ingest": {"size": SIZE, "faces": {dataset: 240, "attributes": 90}},
        "sampling": {"steps": 2, "prior_steps": 2},
        "editor": {"linear": {"calibration": CALIBRATION}},
        "fidelity": {
            "people": PEOPLE,
            "most": 2,
            "single_people": 2,
            "strengths": [-0.5, 0.5, 1.0],
            "examples": 1,
        },
    }


def faces(dataset: str, count: int, people: int) -> pd.DataFrame:
    """Noise, in which every AU brightens one square."""
    rng = np.random.default_rng(0)
    labelled = dataset != "attributes"
    subjects = [f"{dataset}/S{n % people}" for n in range(count)]
    labels = np.where(rng.random((count, len(AUS))) < 0.1, 0.8, 0.0)
    labels[: 2 * people] = 0.0
    images = rng.integers(0, 120, (count, SIZE, SIZE, 3), np.uint8)
    for column in range(len(AUS)):
        top, left = divmod(column, 4)
        square = images[:, 4 * top : 4 * top + 4, 4 * left : 4 * left + 4]
        square += (120 * labels[:, column, None, None, None]).astype(np.uint8)
    ids = [f"{subject}/{n:06d}" for n, subject in enumerate(subjects)]
    splits = ("train", "train", "val", "test") if labelled else ("train",)
    return pd.DataFrame(
        {
            "sample_id": ids,
            "dataset": dataset,
            "subject_id": subjects,
            "split": [splits[n % people % len(splits)] for n in range(count)],
            "image": image_structs(images, ids),
            **dict(zip(AUS, labels.T if labelled else np.full((12, count), np.nan), strict=True)),
            "au_presence_only": False,
            **{name: rng.random(count) for name in NUISANCES},
            "origin": "real",
        }
    )


def run_stages(root: Path, dataset: str) -> None:
    """A project up to `editor`."""
    shutil.copytree(ROOT / "data" / "config", root / "data" / "config")
    write_params(root, changes(dataset))
    torch.manual_seed(0)
    unet = UNetConfig(SIZE, 32, (1, 1), (1, 1), 1, (), Z_DIM)
    pipeline = DiffAEPipeline(GeneratorConfig(unet, LatentNetConfig(16, 2, time_channels=8)))
    with chdir(root):
        tables = {dataset: faces(dataset, 240, 8), "attributes": faces("attributes", 90, 30)}
        for name, table in tables.items():
            write_shards([table], INGEST / name, FACE_SCHEMA)
        pipeline.save_pretrained(GENERATOR)
        AUOracle(image_size=SIZE).save(ORACLE)
        Neutralizer(Z_DIM, width=8).save(NEUTRALIZER_FILE)
        (ORACLE / "metrics.json").write_text(json.dumps({"identity": {"threshold": 0.6}}))
        sections = read_params()
        for stage, out in ((encode, ENCODE), (editor, EDITOR)):
            out.mkdir(parents=True)
            used = {name: sections[name] for name in sections_of(stage.run)}
            stage.run(out, Compute("cpu", 64, 1), **used)


def measure(root: Path, batch_size: int) -> Measured:
    """Metrics and tables of the stage."""
    with chdir(root):
        shutil.rmtree(FIDELITY, ignore_errors=True)
        FIDELITY.mkdir()
        sections = read_params()
        used = {name: sections[name] for name in sections_of(fidelity.run)}
        metrics = fidelity.run(FIDELITY, Compute("cpu", batch_size, 1), **used)
        tables = {path.stem: pd.read_parquet(path) for path in FIDELITY.glob("*.parquet")}
    return metrics, tables


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("rendered")
    run_stages(root, "world-disfa")
    return root


@pytest.fixture(scope="module")
def rendered(project: Path) -> Measured:
    return measure(project, 64)


def test_rendered_people_have_exact_targets(rendered: Measured) -> None:
    metrics, tables = rendered
    pairs = tables["pairs"]
    assert next(iter(metrics)) == "au_mae" and metrics["exact_targets"]
    assert list(pairs["editor"].unique()) == EDITORS
    assert len(pairs) == PEOPLE * 2 * len(EDITORS) and "image" not in pairs
    assert pairs["subject_id"].str.startswith("world-population/").all()
    assert pairs[list(SCORES)].notna().all(axis=None)
    own = pairs[pairs["editor"] == DEFAULT]
    assert metrics["au_mae"] == pytest.approx(own["au_mae"].mean())
    assert set(tables["summary"]["n_aus"].dropna()) == {1, 2}
    assert set(tables["differences"]["editor"]) == set(EDITORS)

    effects = tables["effects"]
    assert set(effects["editor"]) == {EXACT, DEFAULT, *VARIANTS}
    assert len(effects) == (len(VARIANTS) + 2) * len(AUS) * len(READ) and (effects["n"] == 2).all()
    exact = effects[effects["editor"] == EXACT]
    assert exact["deviation"].isna().all()
    assert effects[effects["editor"] == DEFAULT]["deviation"].notna().all()
    linearity = tables["linearity"]
    strengths = linearity.groupby("editor")["s"].unique().map(list).to_dict()
    assert strengths == {DEFAULT: [-0.5, 0.5, 1.0], EXACT: [0.5, 1.0]}


def test_some_pictures_are_kept(rendered: Measured) -> None:
    examples = rendered[1]["examples"]
    assert list(examples) == GALLERY_SCHEMA.names
    assert examples.groupby("sheet").size().to_dict() == {
        "targets": 2 * (2 + len(EDITORS)),
        "single AUs": (len(VARIANTS) + 2) * len(AUS),
    }


def test_results_do_not_depend_on_batch_size(project: Path, rendered: Measured) -> None:
    _, tables = measure(project, 5)
    for name in ("pairs", "effects", "linearity"):
        pd.testing.assert_frame_equal(tables[name], rendered[1][name], rtol=1e-3, atol=1e-3)


def test_photographs_are_matched_by_person(tmp_path: Path) -> None:
    run_stages(tmp_path, "mine")
    metrics, tables = measure(tmp_path, 64)
    pairs = tables["pairs"]
    assert not metrics["exact_targets"]
    sources, targets = (pairs["pair_id"].str.split(">").str[k] for k in (0, 1))
    people = [part.str.rpartition("/")[0] for part in (sources, targets)]
    assert (people[0] == people[1]).all() and (sources != targets).all()
    assert pairs.groupby(["editor", "n_aus"]).size().max() == PEOPLE
    assert EXACT not in set(tables["effects"]["editor"])
    assert tables["effects"]["deviation"].isna().all()
