"""`facsimile lineage` on artefacts of the real stages and an untrained 16 px generator."""

import re
import shutil
from contextlib import chdir
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from click.testing import Result
from typer.testing import CliRunner

from cli.app import app
from facsimile.datasets import table
from facsimile.detection import AUDetector, AUEnsemble
from facsimile.editing import LinearEditor, Neutralizer, neutralize, save_editor
from facsimile.editing.directions import Directions
from facsimile.faces.aus import NUISANCES
from facsimile.faces.tables import (
    FACE_SCHEMA,
    GENERATED_SCHEMA,
    decode_images,
    read_table,
    to_tensor,
    write_shards,
)
from facsimile.generator import (
    DiffAEPipeline,
    GeneratorConfig,
    InferenceOptions,
    LatentNetConfig,
    UNetConfig,
    load_generator,
)
from flows import dvc
from tasks import edit, encode, ingest, neutral, sources, synthesize, transfer
from tasks.params import read_params
from tasks.shared.artefacts import (
    BASELINE,
    EDIT,
    EDITOR,
    ENCODE,
    FILTER,
    GENERATOR,
    INGEST,
    NEUTRAL,
    NEUTRALIZER,
    SYNTHESIZE,
    TRANSFER,
)
from tasks.shared.stage import Compute, sections_of
from tasks.sources import OUT as SOURCES
from tests.support.faces import decide, face_table
from tests.support.project import ROOT, write_params

pytestmark = pytest.mark.slow

SIZE, Z_DIM = 16, 8
PARAMS = {
    "datasets": {"aus": "aus", "attributes": "attributes", "tests": []},
    "ingest": {"size": SIZE, "faces": {"aus": 12, "attributes": 60}},
    "sampling": {"steps": 2, "prior_steps": 2},
    "encode": {"neutral_per_subject": {"train": 4}},
    "neutral": {"faces": 4, "per_subject": 2},
    "edit": {
        "aus": ["AU12", "AU25", "AU26"],
        "mixed": 12,
        "unannotated": {"single": 1, "mixed": 1},
    },
    "synthesize": {"per_cell": 1, "aus": ["AU12"], "mixed": 1},
    "transfer": {"faces": 3},
}
REAL = "aus/S0/000000"
EDITED = f"{REAL}/edit/AU12"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project up to `synthesize`, and decisions as the filter writes them."""
    root = tmp_path_factory.mktemp("project")
    shutil.copy(ROOT / "dvc.yaml", root)
    write_params(root, PARAMS)
    with chdir(root):
        torch.manual_seed(0)
        rng = np.random.default_rng(0)
        unet = UNetConfig(SIZE, 32, (1, 1), (1, 1), 1, (), Z_DIM)
        prior = LatentNetConfig(hidden=16, num_layers=2, time_channels=8)
        DiffAEPipeline(GeneratorConfig(unet, prior)).save_pretrained(GENERATOR)
        Neutralizer(Z_DIM, width=8).save(NEUTRALIZER / "neutralizer.safetensors")
        save_editor(LinearEditor.from_directions(directions(rng)), EDITOR)
        for name, count in PARAMS["ingest"]["faces"].items():
            write_shards([neutral_faces(name, count, rng)], INGEST / name, FACE_SCHEMA)
        sections = read_params()
        AUDetector(64).save(BASELINE / "seed-0")
        outs = {
            encode: ENCODE,
            neutral: NEUTRAL,
            edit: EDIT,
            synthesize: SYNTHESIZE,
            transfer: TRANSFER,
        }
        for stage, out in outs.items():
            used = {name: sections[name] for name in sections_of(stage.run)}
            out.mkdir()
            stage.run(out, Compute("cpu", 16, 1), **used)
        FILTER.mkdir()
        decisions().to_parquet(FILTER / "decisions.parquet")
        accepted = read_table(EDIT / "faces").query("sample_id == @EDITED").assign(AU25=0.125)
        write_shards([accepted], FILTER / "faces", GENERATED_SCHEMA)
    return root


@pytest.fixture
def project(made: Path, tmp_path: Path) -> Path:
    """A copy to be changed."""
    return shutil.copytree(made, tmp_path / "project")


def directions(rng: np.random.Generator) -> Directions:
    names = PARAMS["edit"]["aus"]
    vectors = list(rng.normal(size=(len(names), Z_DIM)).astype(np.float32))
    empty = [[] for _ in names]
    table = pd.DataFrame({"name": names, "kind": "au", "method": "ridge", "vector": vectors})
    table = table.assign(conditioned_on=empty, projected_off=empty, entails=[[], [], ["AU25"]])
    scalars = ("norm_before", "norm_after", "length", "image_scale", "pearson")
    return Directions(table.assign(**dict.fromkeys(scalars, 1.0)))


def neutral_faces(dataset: str, count: int, rng: np.random.Generator) -> pd.DataFrame:
    """Noise of three people; in `aus`, the only annotated set, each person is a split."""
    splits = ("train", "val", "test") if dataset == "aus" else ("train",)
    return face_table(
        [f"{dataset}/S{n % 3}/{n:06d}" for n in range(count)],
        images=rng.integers(0, 256, (count, SIZE, SIZE, 3), np.uint8),
        aus=0.0 if dataset == "aus" else np.nan,
        dataset=dataset,
        split=[splits[n % len(splits)] for n in range(count)],
        **{name: rng.random(count) for name in NUISANCES},
    )


def decisions() -> pd.DataFrame:
    """All edited faces are duplicates of the one that is accepted."""
    edited = read_table(EDIT / "faces")
    scores = dict.fromkeys(("jaccard", "mahalanobis", "identity_distance", "realism"), 0.25)
    reasons = [None if name == EDITED else "duplicate" for name in edited["sample_id"]]
    return decide(edited, reasons, **scores, duplicate_of=EDITED)


def lineage(root: Path, *arguments: str) -> Result:
    return CliRunner().invoke(app, ["lineage", *arguments, "--root", str(root)])


def first_id(root: Path, path: Path, part: str) -> str:
    ids = read_table(root / path, ["sample_id"])["sample_id"]
    return ids[ids.str.contains(part)].iloc[0]


def test_a_real_face_has_labels_and_latents(made: Path) -> None:
    result = lineage(made, REAL)
    assert result.exit_code == 0, result.stderr
    assert f"{REAL}  real face" in result.output
    assert "subject  aus/S0" in result.output and "split  train" in result.output
    assert "AU12 0" in result.output
    assert f"data/encode/aus  {3 * SIZE * SIZE} values" in result.output
    assert "made from" not in result.output


def test_a_face_of_a_user_dataset_names_its_file_and_whether_it_has_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copy(ROOT / "dvc.yaml", tmp_path)
    table.export(write_table(tmp_path / "faces"), tmp_path / "mine")
    changes = {
        "datasets": {"aus": "me", "attributes": "me", "tests": []},
        "ingest": {"size": SIZE, "paths": {"me": "mine/faces.csv"}},
    }
    write_params(tmp_path, changes)
    sections = read_params()
    own = {name: sections[name] for name in ("datasets", "ingest")}
    SOURCES.mkdir(parents=True)
    sources.run(SOURCES, Path(), **own)
    ingest.run(INGEST, Compute("cpu", 4, 1), **own)

    output = lineage(tmp_path, "aus/S1/000001").output
    assert "read from  mine/faces.csv, unchanged since" in output
    assert "image  images/000001.png, mine/faces.csv line 3" in output
    Path("mine/images/000002.png").write_bytes(b"another")
    output = lineage(tmp_path, "aus/S1/000001").output
    assert "read from  mine/faces.csv, changed since: images/000002.png changed" in output
    Path("mine/faces.csv").unlink()
    output = lineage(tmp_path, "aus/S1/000001").output
    assert "changed since: mine/faces.csv does not exist" in output
    assert "image  no longer found there" in output


def write_table(path: Path) -> Path:
    write_shards([neutral_faces("aus", 3, np.random.default_rng(0))], path, FACE_SCHEMA)
    return path


def test_an_edited_face_has_its_source_and_the_verdict(made: Path) -> None:
    result = lineage(made, EDITED)
    assert result.exit_code == 0, result.stderr
    face = read_table(made / EDIT / "faces").set_index("sample_id").loc[EDITED]
    assert f"AUs set  AU12 {face['AU12']:.3f}" in result.output
    assert f"directions.parquet  md5 {face['editor_md5']}\n" in result.output
    assert f"generator.safetensors  md5 {face['generator_md5']}\n" in result.output
    assert "filter  accepted; jaccard 0.25" in result.output
    labels = result.output.split("labels  ")[1]
    assert f"AU12 {face['AU12']:.2g}" in labels and "AU25 0.12" in labels
    assert f"{REAL}  real face" in result.output
    assert "not in dvc.lock" in result.output


def test_mixed_faces_list_every_au_that_was_set(made: Path) -> None:
    table = read_table(made / EDIT / "faces")
    # AU25 has no label where AU26 moves it along; some of these faces were given AU25 as well.
    both = table[table["AU25"].isna() & table["edited_au"].isna()]
    outputs = [lineage(made, sample_id).output for sample_id in both["sample_id"]]
    assert all("unknown, because another AU entails it: AU25" in text for text in outputs)
    assert any("AU25 0." in text.split("made from")[0] for text in outputs)
    assert f"rejected: duplicate of {EDITED}" in outputs[0] and "labels" not in outputs[0]


def test_a_synthetic_face_has_its_identity(made: Path) -> None:
    sample_id = first_id(made, SYNTHESIZE / "faces", "/mixed/")
    result = lineage(made, sample_id)
    assert result.exit_code == 0, result.stderr
    identities = read_table(made / SYNTHESIZE / "identities").set_index("sample_id")
    identity = identities.loc[sample_id.rsplit("/", 2)[0]]
    assert f"{identity['gender']} × {identity['age_group']}" in result.output
    assert f"distance {identity['neutral_distance']:.3f}" in result.output
    assert f"sampled z  {Z_DIM} values" in result.output
    assert "neutralizer.safetensors  md5 " in result.output
    assert "filter  not filtered yet" in result.output


def test_stages_are_those_that_dvc_recorded(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    locked = {
        "cmd": "python -m tasks.edit",
        "deps": [{"path": "data/encode", "md5": "0a.dir"}],
        "params": {"params.yaml": {"edit": {"aus": ["AU12"], "seed": 1}}},
        "outs": [{"path": "data/edit", "md5": "0b.dir"}],
    }
    (project / "dvc.lock").write_text(yaml.safe_dump({"stages": {"edit": locked}}))
    output = lineage(project, EDITED).output
    assert "edit.aus ['AU12'], edit.seed 1" in output
    assert "0a.dir  data/encode" in output and "0b.dir  data/edit" in output
    assert "MLflow run  none found" in output
    assert not (project / "mlflow.db").exists()


@pytest.mark.parametrize("folder", [EDIT / "faces", SYNTHESIZE / "faces"])
@pytest.mark.parametrize("part", ["/edit/", "/mixed/"])
def test_the_same_face_is_rebuilt(made: Path, folder: Path, part: str) -> None:
    result = lineage(made, "--rebuild", first_id(made, folder, part))
    assert result.exit_code == 0, result.output + result.stderr
    assert result.output.startswith("same: largest pixel difference")


def test_unannotated_faces_are_inverted_before_they_are_neutralized(
    made: Path,
) -> None:
    latents = read_table(made / NEUTRAL / "faces")
    ids = latents["sample_id"].to_list()
    images = read_table(made / INGEST / "attributes").set_index("sample_id").loc[ids].reset_index()
    pixels = decode_images(images)
    options = InferenceOptions("dpm++", steps=2)
    generator = load_generator(made / GENERATOR, options=options)
    encoded = generator.encode(to_tensor(pixels))
    x_t = generator.invert(to_tensor(pixels), encoded).x_t.flatten(1).numpy()
    np.testing.assert_allclose(np.stack(latents["x_t"]), x_t, rtol=2e-3, atol=2e-3)
    network = Neutralizer.load(made / NEUTRALIZER / "neutralizer.safetensors")
    code, found = encoded.z.numpy(), np.stack(latents["z"])
    np.testing.assert_allclose(found, neutralize(network, code).z, atol=1e-4)
    assert np.abs(found - code).max() > 0.01
    # Of each person those in which detectors see least.
    everyone = read_table(made / INGEST / "attributes")
    reader = AUEnsemble.load(made / BASELINE)
    seen = reader.predict(decode_images(everyone)).clip(min=0).sum(axis=1)
    everyone = everyone.assign(seen=seen, chosen=everyone["sample_id"].isin(ids))
    for _, own in everyone.groupby("subject_id"):
        highest, lowest = own.loc[own["chosen"], "seen"], own.loc[~own["chosen"], "seen"]
        assert highest.max() <= lowest.min() + 1e-5 or highest.empty
    np.testing.assert_allclose(
        everyone.set_index("sample_id").loc[ids, "seen"], latents["activity"], atol=1e-5
    )


def test_unannotated_faces_are_rebuilt(made: Path) -> None:
    chosen = read_table(made / NEUTRAL / "faces", ["sample_id"])["sample_id"]
    people = chosen.str.split("/").str[1].value_counts()
    assert len(chosen) == 4 and people.max() == 2
    for part in ("/edit/", "/mixed/"):
        sample_id = first_id(made, EDIT / "faces", f"^attributes/.*{part}")
        result = lineage(made, "--rebuild", sample_id)
        assert result.exit_code == 0, result.output + result.stderr
    output = lineage(made, sample_id).output
    assert f"data/neutral  {3 * SIZE * SIZE} values" in output
    assert "AUs set  " in output and "unknown" not in output.split("AUs set  ")[0]


def test_a_transferred_face_names_its_recipient_and_is_rebuilt(made: Path) -> None:
    row = read_table(made / TRANSFER / "faces").iloc[0]
    output = lineage(made, row["sample_id"]).output
    assert f"{row['sample_id']}  transferred face" in output
    assert re.search(r"transferred  0\.\d{3} of the way to attributes/S[0-2]\n", output)
    assert "AUs set" not in output and f"{row['source_id']}  real face" in output
    result = lineage(made, "--rebuild", row["sample_id"])
    assert result.exit_code == 0, result.output + result.stderr


def test_transfers_that_are_planned_otherwise_are_named(project: Path) -> None:
    params = yaml.safe_load((project / "params.yaml").read_text())
    params["transfer"]["strength"] = 0.9
    (project / "params.yaml").write_text(yaml.safe_dump(params))
    sample_id = first_id(project, TRANSFER / "faces", "")
    assert "an unknown person (params.yaml has changed)" in lineage(project, sample_id).output
    result = lineage(project, "--rebuild", sample_id)
    assert result.exit_code == 1
    assert result.output == "different: inputs changed since: params.yaml, section transfer\n"


def test_an_identity_is_rebuilt(made: Path) -> None:
    result = lineage(made, "--rebuild", first_id(made, SYNTHESIZE / "identities", ""))
    assert result.exit_code == 0, result.output + result.stderr


def test_changed_directions_are_named(project: Path) -> None:
    path = project / EDITOR / "directions.parquet"
    directions(np.random.default_rng(1)).save(path)
    result = lineage(project, "--rebuild", EDITED)
    assert result.exit_code == 1
    assert "different: inputs changed since: data/editor/directions" in result.output
    assert result.output.count("\n") == 1
    assert "changed since" in lineage(project, EDITED).output


def test_changed_params_are_named(project: Path) -> None:
    params = yaml.safe_load((project / "params.yaml").read_text())
    params["edit"]["seed"] += 1
    (project / "params.yaml").write_text(yaml.safe_dump(params))
    result = lineage(project, "--rebuild", EDITED)
    assert result.exit_code == 1
    assert result.output == "different: inputs changed since: params.yaml, section edit\n"


def test_values_that_a_row_lacks_are_read_from_dvc(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = read_table(project / ENCODE / "aus")
    table["x_t"] = [x_t if x_t is None else -x_t for x_t in table["x_t"]]
    table.to_parquet(project / ENCODE / "aus" / "part-00000.parquet")
    result = lineage(project, "--rebuild", EDITED)
    assert result.exit_code == 1
    assert re.fullmatch(r"different: largest pixel difference \d+ of 255\n", result.output)
    stale = {"encode": ["sampling.steps modified"], "train": ["train.lr modified"]}
    monkeypatch.setattr(dvc, "stale_stages", lambda root: stale)
    output = lineage(project, "--rebuild", EDITED).output
    assert output.endswith(" of 255; encode: sampling.steps modified\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["aus/S0/000000/edt/AU12"], f"nearest: {EDITED}"),
        (["?"], "no face '?'; ids look like attributes/S0/000000"),
        (["--rebuild", REAL], "a real face cannot be rebuilt"),
    ],
)
def test_bad_input_is_reported_in_one_line(made: Path, arguments: list[str], message: str) -> None:
    result = lineage(made, *arguments)
    assert result.exit_code == 2
    assert message in result.stderr and result.stderr.count("\n") == 1


def test_an_empty_folder_names_the_stage_that_makes_faces(tmp_path: Path) -> None:
    shutil.copy(ROOT / "dvc.yaml", tmp_path)
    result = lineage(tmp_path, REAL)
    assert result.exit_code == 2
    assert "no faces yet" in result.stderr
