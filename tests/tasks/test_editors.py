"""The stages editor, edit and synthesize with an editor that only the registry knows."""

import shutil
from contextlib import chdir
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from pydantic import create_model

from facsimile.digests import file_md5
from facsimile.editing import EDITORS, Change, CodeEditor, Neutralizer, load_editor
from facsimile.editor_options import EditorOptions
from facsimile.faces.aus import ACTIVE_THRESHOLD, AUS, NUISANCES
from facsimile.faces.tables import FACE_SCHEMA, image_structs, read_faces, write_shards
from facsimile.generator import (
    Codes,
    DiffAEPipeline,
    GeneratorConfig,
    LatentNetConfig,
    UNetConfig,
)
from tasks import edit, editor, encode, plain, synthesize
from tasks.params import EditorParams, read_params
from tasks.shared.artefacts import (
    EDIT,
    EDITOR,
    ENCODE,
    GENERATOR,
    INGEST,
    NEUTRAL,
    NEUTRALIZER_FILE,
    PLAIN,
    SYNTHESIZE,
)
from tasks.shared.stage import Compute, sections_of

ROOT = Path(__file__).parents[2]
SIZE, Z_DIM = 16, 8
SHOWN = ("AU04", "AU12")
PARAMS = {
    "datasets": {"aus": "aus", "attributes": "attributes", "tests": []},
    "ingest": {"size": SIZE, "faces": {"aus": 24, "attributes": 60}},
    "sampling": {"steps": 2, "prior_steps": 2},
    "encode": {"neutral_per_subject": {"train": 2, "val": 1, "test": 1}},
    "edit": {"mixed": 1, "unannotated": {"single": 1, "mixed": 0}},
    "synthesize": {"per_cell": 1, "mixed": 1},
    "editor": {"linear": {"calibration": {"faces": 1, "scales": [1.0], "epochs": 1}}},
    "plain": {"per_subject": 2, "per_cell": 1},
}


class MeanDifferenceOptions(EditorOptions):
    """Length of an edit, in units of the difference."""

    length: float = 1.0


class MeanDifferenceEditor(CodeEditor):
    """Adds the difference between the mean codes of active and inactive faces."""

    name: ClassVar[str] = "mean-difference"
    file: ClassVar[str] = "differences.npz"
    takes: ClassVar[tuple[str, ...]] = ("relative",)
    needs_source: ClassVar[bool] = True

    def __init__(self, options: MeanDifferenceOptions) -> None:
        self.options = options
        self.digest: str | None = None
        self.differences: dict[str, np.ndarray] = {}

    @property
    def aus(self) -> tuple[str, ...]:
        return tuple(self.differences)

    @property
    def z_dim(self) -> int:
        return len(self.differences[self.aus[0]])

    def fit(self, data, generator, progress) -> "MeanDifferenceEditor":
        z = data.train.codes.z.numpy()
        assert data.train.read_images().shape == (len(z), SIZE, SIZE, 3)
        for au in data.aus:
            active = data.train.aus[:, AUS.index(au)] >= ACTIVE_THRESHOLD
            difference = z[active].mean(axis=0) - z[~active].mean(axis=0)
            self.differences[au] = self.options.length * difference
        return self

    def edit_codes(self, codes: Codes, change: Change) -> Codes:
        columns = [AUS.index(au) for au in self.aus]
        differences = torch.from_numpy(np.stack(list(self.differences.values())))
        return codes.replace_z(codes.z + change.relative[:, columns] @ differences)

    def entailed(self, au: str) -> tuple[str, ...]:
        return ("AU12",) if au == "AU04" else ()

    def metrics(self) -> dict[str, Any]:
        return {"length": self.options.length}

    def report(self) -> pd.DataFrame:
        norms = [np.linalg.norm(vector) for vector in self.differences.values()]
        return pd.DataFrame({"AU": self.aus, "norm": norms})

    def save(self, folder: Path) -> None:
        np.savez(folder / self.file, **self.differences)
        self.digest = file_md5(folder / self.file)

    @classmethod
    def load(cls, folder: Path) -> "MeanDifferenceEditor":
        loaded = cls(MeanDifferenceOptions())
        with np.load(folder / cls.file) as arrays:
            loaded.differences = dict(arrays)
        loaded.digest = file_md5(folder / cls.file)
        return loaded


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project whose editor is the one above, up to `synthesize`."""
    root = tmp_path_factory.mktemp("project")
    shutil.copytree(ROOT / "data" / "config", root / "data" / "config")
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    for section, values in PARAMS.items():
        params[section] |= values
    (root / "params.yaml").write_text(yaml.safe_dump(params))
    model = create_model(
        "WithMeanDifference",
        __base__=EditorParams,
        method=(str, ...),
        **{MeanDifferenceEditor.name: (MeanDifferenceOptions, ...)},
    )
    with chdir(root), pytest.MonkeyPatch.context() as patch:
        patch.setitem(EDITORS, MeanDifferenceEditor.name, MeanDifferenceEditor)
        torch.manual_seed(0)
        unet = UNetConfig(SIZE, 32, (1, 1), (1, 1), 1, (), Z_DIM)
        prior = LatentNetConfig(hidden=16, num_layers=2, time_channels=8)
        pipeline = DiffAEPipeline(GeneratorConfig(unet, prior))
        codes = pipeline.encode(torch.rand(64, 3, SIZE, SIZE) * 2 - 1).raw
        # As if trained: the prior draws codes like those of faces.
        pipeline.conds_mean.copy_(codes.mean(0))
        pipeline.conds_std.copy_(codes.std(0))
        pipeline.save_pretrained(GENERATOR)
        Neutralizer(Z_DIM, width=8).save(NEUTRALIZER_FILE)
        rng = np.random.default_rng(0)
        for name, count in PARAMS["ingest"]["faces"].items():
            write_shards([faces(name, count, rng)], INGEST / name, FACE_SCHEMA)
        sections = read_params() | {
            "editor": model.model_validate(
                {"method": MeanDifferenceEditor.name, MeanDifferenceEditor.name: {"length": 2.0}}
            )
        }
        outs = {encode: ENCODE, editor: EDITOR, edit: EDIT, synthesize: SYNTHESIZE}
        for stage, out in outs.items():
            if stage is edit:
                none = read_faces(INGEST / "attributes", ["sample_id"]).head(0)
                NEUTRAL.mkdir()
                none.assign(z=None, x_t=None).to_parquet(NEUTRAL / "faces")
            out.mkdir(parents=True)
            used = {name: sections[name] for name in sections_of(stage.run)}
            stage.run(out, Compute("cpu", 16, 1), **used)
        yield root


def faces(dataset: str, count: int, rng: np.random.Generator) -> pd.DataFrame:
    """Noise; in `aus`, every second face shows one of two AUs, the others none."""
    splits = ("train", "train", "val", "train", "test") if dataset == "aus" else ("train",) * 3
    subjects = [f"{dataset}/S{n % len(splits)}" for n in range(count)]
    ids = [f"{subject}/{n:06d}" for n, subject in enumerate(subjects)]
    labels = np.zeros((count, len(AUS))) if dataset == "aus" else np.full((count, 12), np.nan)
    if dataset == "aus":
        for n in range(0, count, 2):
            labels[n, AUS.index(SHOWN[n // 2 % 2])] = 0.8
    return pd.DataFrame(
        {
            "sample_id": ids,
            "dataset": dataset,
            "subject_id": subjects,
            "split": [splits[n % len(splits)] for n in range(count)],
            "image": image_structs(rng.integers(0, 256, (count, SIZE, SIZE, 3), np.uint8), ids),
            **dict(zip(AUS, labels.T, strict=True)),
            "au_presence_only": False,
            **{name: rng.random(count) for name in NUISANCES},
            "origin": "real",
        }
    )


def test_every_generated_row_names_the_editor(project: Path) -> None:
    digest = file_md5(project / EDITOR / MeanDifferenceEditor.file)
    for folder in (EDIT, SYNTHESIZE):
        rows = read_faces(project / folder / "faces")
        assert set(rows["editor"]) == {"mean-difference"} and set(rows["editor_md5"]) == {digest}
        assert set(rows["edited_au"].dropna()) == set(SHOWN)


def test_faces_are_edited_by_the_registered_editor(project: Path) -> None:
    fitted = load_editor(project / EDITOR)
    assert fitted.aus == SHOWN
    sources = pd.read_parquet(project / ENCODE / "aus").set_index("sample_id")["z"]
    edited = read_faces(project / EDIT / "faces").dropna(subset="edited_au")
    for row in edited.itertuples():
        moved = np.asarray(row.z) - sources[row.source_id]
        expected = row.intensity * fitted.differences[row.edited_au]
        np.testing.assert_allclose(moved, expected, atol=1e-5)


def test_labels_that_an_edit_entails_are_unknown(project: Path) -> None:
    edited = read_faces(project / EDIT / "faces")
    frowns = edited[edited["edited_au"] == "AU04"]
    assert len(frowns) and frowns["AU12"].isna().all()
    assert (edited.loc[edited["edited_au"] == "AU12", "AU04"] == 0).all()


def test_faces_of_the_published_method_show_one_au_each_as_requested(project: Path) -> None:
    PLAIN.mkdir()
    sections = read_params()
    used = {name: sections[name] for name in sections_of(plain.run)}
    metrics = plain.run(PLAIN, Compute("cpu", 16, 1), **used)
    faces = read_faces(project / PLAIN / "faces")
    # Two neutral faces of each training person, and one person of each gender and age group.
    assert metrics == {"generated": 24, "edited": 12, "synthetic": 12}
    assert faces["origin"].value_counts().to_dict() == {"edited": 12, "synthetic": 12}
    assert set(faces["edited_au"]) == set(SHOWN) and set(faces["editor"]) == {"linear"}
    labels = faces[list(AUS)].to_numpy(float)
    assert (labels.max(axis=1) == 1).all() and (labels.sum(axis=1) == 1).all()
