"""`facsimile release` on the artefacts of a small project."""

import json
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pandas as pd
import pytest
import yaml
from click.testing import Result
from typer.testing import CliRunner

from cli.app import app
from facsimile.editing import plan_edits
from facsimile.faces.tables import (
    FACE_SCHEMA,
    GENERATED_SCHEMA,
    read_table,
    write_shards,
)
from flows.version_contents import Contents
from flows.versions import Version
from tasks.params import EditParams
from tests.support.faces import face_table, noise_images
from tests.support.project import ROOT, write_params
from tests.support.xmp import read_packet

pytestmark = pytest.mark.slow

VARIANTS = ("aus", "intensity", "single", "mixed", "seed")


def neutral_faces(dataset: str) -> pd.DataFrame:
    """Neutral faces of two people."""
    ids = [f"{dataset}/S{n % 2}/{n}" for n in range(4)]
    return face_table(ids, dataset=dataset, images=noise_images(4, 16))


def make_project(folder: Path, dataset: str = "world-disfa", **ingest: object) -> Path:
    """A project whose faces were edited from a dataset, and synthesized."""
    root = folder / "project"
    root.mkdir()
    shutil.copy(ROOT / "dvc.yaml", root)
    changes = {
        "datasets": {"aus": dataset},
        "edit": {"aus": ["AU12", "AU26"], "mixed": 1},
        "synthesize": {"aus": ["AU12", "AU26"], "single": 2, "mixed": 1},
        "ingest": ingest,
    }
    params = write_params(root, changes)
    (root / "data" / "generator").mkdir(parents=True)
    (root / "data" / "generator" / "metrics.json").write_text('{"images_seen": 1}')
    real = neutral_faces(dataset)
    write_shards([real], root / "data" / "ingest" / dataset, FACE_SCHEMA)
    variants = EditParams.model_validate(params["edit"]).variants(annotated=True)
    edited = plan_edits(real, **variants).assign(origin="edited")
    # A face that was made by other params than those that are there now.
    edited.loc[0, "seed"] = 99
    made = {name: params["synthesize"][name] for name in VARIANTS}
    new = plan_edits(neutral_faces("synthetic"), **made).assign(origin="synthetic")
    rows = []
    for stage, table in (("edit", edited), ("synthesize", new)):
        table = table.assign(generator_md5="e" * 32)
        write_shards([table], root / "data" / stage / "faces", GENERATED_SCHEMA)
        rows.append(table.assign(AU01=0.05))  # the filter's correction
    write_shards([pd.concat(rows)], root / "data" / "filter" / "faces", GENERATED_SCHEMA)
    return root


@pytest.fixture
def project(tmp_path: Path) -> Callable[..., Path]:
    return partial(make_project, tmp_path)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project and, beside it, its release."""
    root = make_project(tmp_path_factory.mktemp("made"))
    params = {"edit": {"seed": 1}, "ingest": {"paths": {"mine": {"root": "/home/me/secret"}}}}
    locked = {
        "cmd": "python -m tasks.edit",
        "deps": [{"path": "data/editor", "md5": "0a.dir"}],
        "params": {"params.yaml": params},
        "outs": [{"path": "data/edit", "md5": "0b.dir"}],
    }
    (root / "dvc.lock").write_text(yaml.safe_dump({"stages": {"edit": locked}}))
    result = release(root, "--name", "small")
    assert result.exit_code == 0, result.stderr
    assert "24 faces, CC0 1.0" in result.output
    return root


def release(root: Path, *arguments: str) -> Result:
    arguments = ["release", str(root.parent / "out"), "--root", str(root), *arguments]
    return CliRunner().invoke(app, arguments)


def released(root: Path) -> pd.DataFrame:
    path = root.parent / "out" / "data" / "train-00000-of-00001.parquet"
    return read_table(path).set_index("sample_id")


def card(root: Path) -> str:
    return (root.parent / "out" / "README.md").read_text()


def test_faces_of_the_embedded_world_are_free(made: Path) -> None:
    assert set(released(made)["origin"]) == {"edited", "synthetic"}
    text = card(made)
    assert "# small\n" in text
    assert "| world-ffhq | generator trained |" in text
    assert "| AU12 | lip corner puller | 0 | " in text
    assert (made.parent / "out" / "croissant.json").exists()


def test_every_image_records_its_edit(made: Path) -> None:
    rows = released(made)
    marks = {name: read_packet(image["bytes"]) for name, image in rows["image"].items()}
    name = "world-disfa/S1/1/edit/AU12"
    assert marks[name]["facsimile:Edit"] == [f"AU12 {rows.at[name, 'AU12']!s}"]
    assert "facsimile:Edit" in marks["synthetic/S0/0/edit/AU26"]
    assert "facsimile:Edit" not in marks["world-disfa/S0/0/edit/AU12"]


def test_lineage_is_that_of_dvc_without_paths_of_this_machine(made: Path) -> None:
    text = card(made)
    assert "| param `edit.seed` | 1 |" in text and "| writes `data/edit` | `0b.dir` |" in text
    out = made.parent / "out"
    assert not any(b"secret" in path.read_bytes() for path in out.rglob("*") if path.is_file())
    mark = read_packet(released(made).at["world-disfa/S1/1/edit/AU12", "image"]["bytes"])
    assert mark["facsimile:MadeOf"] == ["data/editor 0a.dir"]


def test_a_release_that_is_there_stays(made: Path) -> None:
    again = release(made, "--synthetic-only")
    assert again.exit_code == 2 and "already exists" in again.stderr
    assert len(released(made)) == 24


def test_a_release_of_a_published_version_names_it(
    project: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    root = project()
    version = Version("dataset/2026.01.05.2", "c0ffee", "", "", "", "", Contents())
    monkeypatch.setattr("flows.release.published_version", lambda root: version)
    result = release(root)
    assert result.stdout.strip().endswith(", CC0 1.0, dataset/2026.01.05.2"), result.output
    assert "version `dataset/2026.01.05.2`, git commit `c0ffee`" in card(root)
    croissant = json.loads((root.parent / "out" / "croissant.json").read_text())
    assert croissant["version"] == "2026.1.5+2"
    assert croissant["identifier"] == "dataset/2026.01.05.2"


OWN = {"paths": {"mine": {"root": "nowhere", "adapter": "disfa"}}}


def test_faces_under_an_agreement_need_confirmation(project: Callable[..., Path]) -> None:
    root = project("mine", **OWN)
    refused = release(root, "--license", "cc-by-nc-4.0")
    assert refused.exit_code == 2
    assert "edited from mine: a signed agreement with the University of Denver" in refused.stderr
    assert "--permitted mine" in refused.stderr and "--synthetic-only" in refused.stderr
    assert refused.stderr.count("\n") == 1
    assert not (root.parent / "out").exists()

    allowed = release(root, "--license", "cc-by-nc-4.0", "--permitted", "mine")
    assert allowed.exit_code == 0, allowed.stderr
    assert "the publisher states that publishing faces" in card(root)


def test_recipients_of_transfers_need_confirmation_too(
    project: Callable[..., Path],
) -> None:
    root = project(**OWN)
    params = yaml.safe_load((root / "params.yaml").read_text())
    params["datasets"]["attributes"] = "mine"
    (root / "params.yaml").write_text(yaml.safe_dump(params))
    folder = root / "data" / "filter" / "faces"
    moved = read_table(folder).replace({"origin": {"edited": "transferred"}})
    write_shards([moved], folder, GENERATED_SCHEMA)
    refused = release(root, "--license", "cc-by-nc-4.0")
    assert refused.exit_code == 2 and "--permitted mine" in refused.stderr

    allowed = release(root, "--license", "cc-by-nc-4.0", "--permitted", "mine")
    assert allowed.exit_code == 0, allowed.stderr
    assert "| mine | expressions transferred to its people; models of attributes" in card(root)
    packets = [read_packet(image["bytes"]) for image in released(root)["image"]]
    edited = [packet["dc:identifier"] for packet in packets if "facsimile:Edit" in packet]
    assert edited and all(name.startswith("synthetic/") for name in edited), "AUs set on others"


def test_synthetic_faces_need_no_permission(project: Callable[..., Path]) -> None:
    root = project("mine", **OWN)
    unlicensed = release(root, "--synthetic-only")
    assert unlicensed.exit_code == 2
    assert "--license: the sources differ" in unlicensed.stderr

    result = release(root, "--synthetic-only", "--license", "https://example.org/terms")
    assert result.exit_code == 0, result.stderr
    assert set(released(root)["origin"]) == {"synthetic"}
    assert "| mine | models of Action Units fitted |" in card(root)
    assert "license_link: https://example.org/terms" in card(root)


def test_terms_of_an_imported_generator_are_not_known(project: Callable[..., Path]) -> None:
    root = project()
    (root / "data" / "generator" / "metrics.json").write_text(json.dumps({"parameters": 1}))
    result = release(root)
    assert result.exit_code == 2
    assert "training images of the generator: imported generator" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--license", "mine"], "no licence 'mine'; give one of"),
        (
            ["--permitted", "celeba"],
            "--permitted celeba: no face is edited from it, only from world",
        ),
        (["--certificate", "x.pem"], "signing needs both --certificate and --private-key"),
        (["--certificate", "x.pem", "--private-key", "y.pem"], "x.pem: not readable"),
    ],
)
def test_bad_options_are_reported_in_one_line(
    project: Callable[..., Path], arguments: list[str], message: str
) -> None:
    root = project()
    result = release(root, *arguments)
    assert result.exit_code == 2
    assert message in result.stderr and result.stderr.count("\n") == 1
    assert not (root.parent / "out").exists()


def test_without_faces_the_stage_that_makes_them_is_named(project: Callable[..., Path]) -> None:
    root = project()
    shutil.rmtree(root / "data" / "filter")
    result = release(root)
    assert result.exit_code == 2
    assert "facsimile run filter" in result.stderr
