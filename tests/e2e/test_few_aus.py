"""Every stage, in one process, on faces that are annotated for a few AUs only."""

import importlib
import json
import shutil
from contextlib import chdir
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from typer.testing import CliRunner

from cli.app import app
from facsimile.detection import AUOracle
from facsimile.faces.aus import AUS
from facsimile.faces.tables import encode_png, read_faces, read_table, to_tensor
from facsimile.generator import DiffAEPipeline, GeneratorConfig, LatentNetConfig, UNetConfig
from tasks.helpers import readiness
from tasks.params import read_params
from tasks.shared.stage import Compute, sections_of, write_json
from tests.support.describing import write_describer

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
SIZE = 32
STAGES = (
    *("ingest", "baseline", "encode", "neutralizer", "editor", "neutral", "edit"),
    *("synthesize", "transfer", "describe", "filter", "train", "evaluate"),
)
LEARNT = {"AU04", "AU12", "AU20", "AU26"}
EDITED = ["AU04", "AU12", "AU26"]
PARAMS = {
    "datasets": {"aus": "few", "attributes": "people", "tests": ["other", "foreign"]},
    "ingest": {
        "size": SIZE,
        "faces": {},
        "paths": {name: f"{name}/faces.csv" for name in ("few", "people", "other", "foreign")},
    },
    "sampling": {"steps": 2, "prior_steps": 2},
    "encode": {"neutral_per_subject": {"train": 1, "val": 1, "test": 1}},
    "editor": {
        "linear": {
            "calibration": {"faces": 2, "scales": [1.0], "epochs": 1},
            "project": ["male"],
        }
    },
    "neutralizer": {"width": 8, "max_epochs": 1},
    "neutral": {"faces": 4, "per_subject": 1},
    "edit": {"mixed": 1, "unannotated": {"single": 1, "mixed": 1}},
    "synthesize": {"per_cell": 1, "single": 1, "mixed": 1},
    "transfer": {"faces": 4},
    "filter": {"min_jaccard": 0.0, "realism_quantile": 0.0, "mahalanobis_quantile": 1.0},
    "detector": {"epoch_faces": 32, "epochs": 1},
    "baseline": {"seeds": [0]},
    "train": {"arms": ["real", "real+generated"], "seeds": [0]},
    "evaluate": {"people": 1, "intensities": [1.0]},
}


def noise(count: int) -> np.ndarray:
    """Pictures (count, SIZE, SIZE, 3) of coloured squares."""
    squares = np.random.default_rng(count).integers(0, 256, (count, 4, 4, 3), np.uint8)
    return squares.repeat(SIZE // 4, axis=1).repeat(SIZE // 4, axis=2)


def write_table(folder: Path, people: int, faces: int, **columns: Any) -> None:
    """A CSV of noise; a column is a function of (person, number of the face)."""
    rows, images = [], iter(noise(people * faces))
    for person in range(people):
        for n in range(faces):
            name = f"p{person}/{n}.png"
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(encode_png(next(images)))
            labels = {column: value(person, n) for column, value in columns.items()}
            rows.append({"image_path": name, "subject_id": f"{folder.name}-{person}", **labels})
    pd.DataFrame(rows).to_csv(folder / "faces.csv", index=False)


def prepare(root: Path, **more: dict[str, Any]) -> None:
    """Write all that the stages read but the generator; `more` are further params."""
    shutil.copytree(ROOT / "data" / "config", root / "data" / "config")
    shutil.copy(ROOT / "dvc.yaml", root)
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    for section, values in (PARAMS | more).items():
        params[section] |= values
    (root / "params.yaml").write_text(yaml.safe_dump(params))
    splits = ("train", "train", "train", "val", "val", "test", "test")
    write_table(
        root / "few",
        people=7,
        faces=6,
        split=lambda person, n: splits[person],
        AU04=lambda person, n: (0, 0, 0.6, 0, 1, 0.4)[n],
        AU12=lambda person, n: (0, 0, 0, 0.8, 0.6, "")[n],
        AU09=lambda person, n: 0,  # never shown
        AU25=lambda person, n: 0.5,  # always
        AU20=lambda person, n: person / 2 if person < 2 and n == 5 else "",  # by person only
        AU26=lambda person, n: 0.2 * n if person == 0 and n < 2 else "",  # hardly annotated
    )
    write_table(
        root / "people",
        people=14,
        faces=4,
        split=lambda person, n: "train" if person < 12 else "val",
        eyeglasses=lambda person, n: n % 2,
        beard=lambda person, n: (person + n) % 2,
        male=lambda person, n: person % 2,
        age=lambda person, n: person % 3 / 2,
    )
    for name, au in (("other", "AU12"), ("foreign", "AU06")):
        write_table(
            root / name,
            people=2,
            faces=4,
            split=lambda person, n: "test",
            AU01=lambda person, n: n % 2,
            **{au: lambda person, n: int(n > 1)},
            au_presence_only=lambda person, n: "true",
        )
    AUOracle(image_size=SIZE).save(root / "data/oracle")
    (root / "data/oracle/metrics.json").write_text('{"identity": {"threshold": 0.4}}')


def run_stages() -> None:
    """Run every stage in the current folder."""
    sections = read_params()
    for stage in STAGES:
        run = importlib.import_module(f"tasks.{stage}").run
        out = Path("data", stage)
        out.mkdir()
        used = {name: sections[name] for name in sections_of(run)}
        write_json(out / "metrics.json", run(out, Compute("cpu", 32, 1), **used))


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project whose stages have all run."""
    root = tmp_path_factory.mktemp("project")
    torch.manual_seed(0)
    prepare(root, describe={"prompts": ["neutral men"], "each": 4})
    with chdir(root):
        torch.manual_seed(0)
        unet = UNetConfig(SIZE, 32, (1, 1), (1, 1), 1, (), 16)
        prior = LatentNetConfig(hidden=16, num_layers=2, time_channels=8)
        pipeline = DiffAEPipeline(GeneratorConfig(unet, prior))
        codes = pipeline.encode(to_tensor(noise(64))).raw
        # As those of a trained one: codes of faces are where the prior draws them.
        pipeline.conds_mean.copy_(codes.mean(0))
        pipeline.conds_std.copy_(codes.std(0))
        pipeline.save_pretrained("data/generator")
        Path("data/generator/metrics.json").write_text('{"images_seen": 1}')
        write_describer(root)
        run_stages()
    return root


def metrics(project: Path, stage: str) -> dict[str, Any]:
    return json.loads((project / "data" / stage / "metrics.json").read_text())


def known(faces: pd.DataFrame) -> set[str]:
    """AUs with a label on any of these faces."""
    return {au for au in AUS if faces[au].notna().any()}


def test_models_learn_the_annotated_aus(project: Path) -> None:
    config = json.loads((project / "data/train/real/seed-0/config.json").read_text())
    learnt = {au for au, threshold in config["thresholds"].items() if threshold is not None}
    assert learnt == LEARNT
    directions = read_table(project / "data/editor/directions.parquet")
    assert directions.loc[directions["kind"] == "au", "name"].tolist() == EDITED
    for stage in ("baseline", "neutralizer", "train"):
        assert metrics(project, stage)["aus"] == len(LEARNT)
    for stage in ("editor", "edit", "synthesize"):
        assert metrics(project, stage)["aus"] == len(EDITED)


def test_unknown_labels_are_null(project: Path) -> None:
    edited = read_faces(project / "data/edit/faces")
    own = edited[edited["dataset"] == "few"]
    assert set(own["edited_au"].dropna()) == set(EDITED)
    # The annotated sources are known to be without AU09; they show AU25, whatever is edited.
    assert known(own) == {*EDITED, "AU09"} and (own["AU09"] == 0).all()
    assert own[["AU04", "AU12"]].notna().all(axis=None)
    others = own[own["edited_au"].isin(["AU04", "AU12"])]
    assert others["AU26"].isna().all()  # of their sources unknown, or shown
    assert (own.loc[own["edited_au"] == "AU26", "AU26"] > 0).all()
    synthetic = read_faces(project / "data/synthesize/faces")
    for made in (edited[edited["dataset"] == "people"], synthetic):
        assert known(made) == LEARNT and made[list(LEARNT)].notna().all(axis=None)
    accepted = read_faces(project / "data/filter/faces").set_index("sample_id")
    assert known(accepted[accepted["origin"] == "synthetic"]) <= LEARNT
    sources = read_faces(project / "data/ingest/few", ["sample_id", *AUS]).set_index("sample_id")
    moved = read_faces(project / "data/transfer/faces")
    was = sources.loc[moved["source_id"], list(AUS)].isna().to_numpy()
    np.testing.assert_array_equal(moved[list(AUS)].isna(), was)


def test_figures_show_the_annotated_aus(project: Path) -> None:
    found = metrics(project, "evaluate")
    assert found["aus"] == sorted(LEARNT)
    for arm in ("real", "real+generated"):
        assert set(found["f1"][arm]["per_au"]) == {"AU04", "AU12"}  # of the test people
        assert set(found["cross_dataset"]["other"]["f1"][arm]["per_au"]) == {"AU12"}
        nothing = found["cross_dataset"]["foreign"]["f1"][arm]
        assert nothing["per_au"] == {} and nothing["mean"] is None
    page = (project / "data/evaluate/report.html").read_text()
    assert "All figures cover AU04, AU12, AU20, AU26." in page
    assert "Not annotated for any AU that is trained: foreign." in page
    counts = pd.read_parquet(project / "data/evaluate/au_counts.parquet")
    assert set(counts["au"]) == LEARNT


def test_commands_about_faces_accept_missing_labels(project: Path, tmp_path: Path) -> None:
    def call(*arguments: str) -> str:
        result = CliRunner().invoke(app, [*arguments, "--root", str(project)])
        assert result.exit_code == 0, result.output
        return result.output

    edited = read_faces(project / "data/edit/faces", ["sample_id", "dataset", "edited_au"])
    name = edited.loc[edited["dataset"] == "few", "sample_id"].iloc[0]
    text = " ".join(call("lineage", name).split())
    assert "unknown: AU01, AU02, AU05, AU06" in text and "because another AU" not in text
    assert "same: largest pixel difference" in call("lineage", "--rebuild", name)
    call("inspect")
    out = tmp_path / "release"
    permitted = ("--permitted", "few", "--permitted", "people", "--license", "cc0-1.0")
    call("release", str(out), *permitted)
    card = (out / "README.md").read_text()
    assert "| AU01 | inner brow raiser | not annotated |" in card


def test_readiness_reports_omitted_aus(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with chdir(project):
        readiness.report(Path("data/ingest"))
        lines = capsys.readouterr().err.splitlines()
        readiness.require()
    assert lines == [
        "few: uses AU04, AU12, AU20, AU26; skipped: AU01, AU02, AU05, AU06, AU15, AU17: not "
        "annotated; AU09: on no annotated face; AU25: on every annotated face",
        "foreign: not annotated for any of AU04, AU12, AU20, AU26, so it is not scored",
    ]


def test_described_faces_are_filtered_shown_and_made_again(project: Path) -> None:
    decisions = pd.read_parquet(project / "data/filter/decisions.parquet")
    assert (decisions["origin"] == "described").sum() == 4
    page = (project / "data/evaluate/report.html").read_text()
    assert "Faces from descriptions" in page and "neutral men" in page
    for arguments in (["lineage"], ["lineage", "--rebuild"]):
        command = [*arguments, "described/0/00001", "--root", str(project)]
        result = CliRunner().invoke(app, command)
        assert result.exit_code == 0, result.output
        assert "neutral men" in result.output or result.output.startswith("same: largest pixel")
