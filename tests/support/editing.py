"""Projects in which faces can be edited, without training."""

from contextlib import chdir
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from facsimile.detection import AUDetector
from facsimile.editing import DualBranchEditor, LinearEditor, Neutralizer, save_editor
from facsimile.editing.directions import Directions
from facsimile.editing.dual_branch_networks import DualBranchNetworks
from facsimile.faces.tables import FACE_SCHEMA, LATENT_SCHEMA, write_shards
from facsimile.generator import DiffAEPipeline, GeneratorConfig, LatentNetConfig, UNetConfig
from tasks.shared.artefacts import (
    BASELINE,
    EDITOR,
    EDITORS_FOLDER,
    ENCODE,
    GENERATOR,
    INGEST,
    NEUTRALIZER_FILE,
)
from tests.support.detectors import SIZE, pictures
from tests.support.faces import face_table
from tests.support.project import write_params

Z_DIM = 8
KNOWN = ("AU04", "AU12")
PEOPLE = 12


def directions() -> Directions:
    rng = np.random.default_rng(0)
    scalars = ("norm_before", "norm_after", "length", "image_scale", "pearson")
    rows = [
        {
            "name": au,
            "kind": "au",
            "method": "ridge",
            "vector": rng.normal(size=Z_DIM).astype(np.float32),
            "conditioned_on": [],
            "projected_off": [],
            "entails": [],
            **dict.fromkeys(scalars, 1.0),
        }
        for au in KNOWN
    ]
    return Directions(pd.DataFrame(rows))


def write_models(root: Path) -> None:
    """A generator of SIZE pixels, an editor of two AUs, and a detector; none is trained."""
    with chdir(root):
        torch.manual_seed(0)
        unet = UNetConfig(SIZE, 32, (1, 1), (1, 1), 1, (), Z_DIM)
        config = GeneratorConfig(unet, LatentNetConfig(hidden=16, num_layers=2, time_channels=8))
        pipeline = DiffAEPipeline(config)
        # With its output layers at zero, a picture would not depend on its code.
        for parameter in pipeline.model.parameters():
            if not parameter.any():
                torch.nn.init.normal_(parameter, std=0.1)
        pipeline.save_pretrained(GENERATOR)
        save_editor(LinearEditor.from_directions(directions()), EDITOR)
        AUDetector(64).save(BASELINE / "seed-0")


def write_studio_project(root: Path) -> None:
    """A project with two editors, faces of people, and all that new people need."""
    write_params(
        root,
        {
            "datasets": {"aus": "mine", "attributes": "people", "tests": []},
            "ingest": {"size": SIZE, "faces": {}, "paths": {"mine": "m.csv", "people": "p.csv"}},
            "sampling": {"steps": 4, "prior_steps": 2},
        },
    )
    (root / "dvc.yaml").write_text("stages: {}\n")
    write_models(root)
    rng = np.random.default_rng(0)
    with chdir(root):
        save_editor(dual_branch(), EDITORS_FOLDER / "dual-branch")
        for name in ("mine", "people"):
            ids = [f"{name}/p{number // 2}/{number}" for number in range(2 * PEOPLE)]
            faces = face_table(ids, images=pictures(len(ids)), dataset=name)
            faces["split"] = ["train", "train", "train", "train", "test", "test"] * 4
            faces["AU12"] = [0.0, 0.7] * PEOPLE
            faces["male"], faces["age"] = rng.random((2, len(ids)))
            write_shards([faces], INGEST / name, FACE_SCHEMA)
            codes = {
                "sample_id": ids,
                "z": list(rng.normal(size=(len(ids), Z_DIM)).astype(np.float32)),
                "x_t": list(rng.normal(size=(len(ids), 3 * SIZE * SIZE)).astype(np.float16)),
                "editable": True,
            }
            write_shards([pd.DataFrame(codes)], ENCODE / name, LATENT_SCHEMA)
        Neutralizer(Z_DIM, width=8).save(NEUTRALIZER_FILE)


def dual_branch() -> DualBranchEditor:
    """An editor that takes references, and is not trained."""
    torch.manual_seed(0)
    editor = DualBranchEditor()
    networks = DualBranchNetworks(Z_DIM, len(KNOWN), 2, 4, 3, label_mapping=False)
    networks.basis.copy_(torch.eye(Z_DIM).view(2, Z_DIM // 2, Z_DIM))
    editor.networks_ = networks
    editor.aus, editor.gains_ = KNOWN, torch.ones(len(KNOWN))
    editor.entailed_ = dict.fromkeys(KNOWN, ())
    editor.metrics_, editor.report_ = {}, pd.DataFrame({"AU": KNOWN})
    return editor
