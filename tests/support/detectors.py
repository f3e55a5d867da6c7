"""Detectors without training, and projects that have just trained them.

An untrained network reads something from each face. Faces are labelled with what it reads, which
makes it a perfect detector of these labels.
"""

import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import yaml

from facsimile.detection import AUDetector, AUEnsemble
from facsimile.faces.aus import AUS
from facsimile.faces.tables import FACE_SCHEMA, to_tensor, write_shards
from tests.support.faces import face_table, noise_images
from tests.support.project import write_params

SIZE = 32
DATASET = "mine"
PEOPLE, FACES_EACH = 5, 8
_MIDDLE, _SPREAD = 0.3, 0.1


def pictures(count: int, seed: int = 0) -> np.ndarray:
    """uint8 (count, SIZE, SIZE, 3), each a few coloured blocks."""
    blocks = noise_images(count, 4, seed)
    return blocks.repeat(SIZE // 4, axis=1).repeat(SIZE // 4, axis=2)


def perfect_detector(images: np.ndarray) -> AUDetector:
    """A detector whose readings of each AU are spread around 0.3 over these images."""
    torch.manual_seed(0)
    detector = AUDetector(SIZE)
    norms = [module for module in detector.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = 1.0
        torch.nn.init.ones_(norm.weight)  # those of residual branches start at zero
    with torch.no_grad():
        detector.train()(to_tensor(images))  # without statistics, it reads the same everywhere
    readings = torch.from_numpy(AUEnsemble([detector]).predict(images))
    middle, spread = readings.median(0).values, readings.std(0)
    layer = detector.net.classifier[-1]
    with torch.no_grad():
        layer.weight.mul_((_SPREAD / spread)[:, None])
        layer.bias.copy_((layer.bias - middle) * _SPREAD / spread + _MIDDLE)
    return detector


def invert(detector: AUDetector, aus: Sequence[str]) -> None:
    """Let it read high where it has read low, and low where it has read high, for some AUs."""
    rows = [AUS.index(au) for au in aus]
    layer = detector.net.classifier[-1]
    with torch.no_grad():
        layer.weight[rows] *= -1
        layer.bias[rows] = 2 * _MIDDLE - layer.bias[rows]


def train(root: Path, *, inverted: Sequence[str] = (), arm: str = "real+generated") -> None:
    """Replace the detectors of an arm by one that reads all AUs perfectly, except the inverted."""
    detector = perfect_detector(validation_images())
    invert(detector, inverted)
    shutil.rmtree(root / "data" / "train" / arm, ignore_errors=True)
    detector.save(root / "data" / "train" / arm / "seed-0")


def validation_images() -> np.ndarray:
    return pictures(PEOPLE * FACES_EACH)


def write_project(root: Path) -> None:
    """A project with validation faces and a perfect detector, as after a run of its stages."""
    write_faces(root)
    (root / "dvc.yaml").write_text(yaml.safe_dump({"stages": {"train": {"cmd": "x"}}}))
    mark_faces(root, "0" * 32)
    train(root)


def write_faces(root: Path) -> None:
    """Validation faces, labelled as the perfect detector reads them, and params that name them."""
    images = validation_images()
    readings = AUEnsemble([perfect_detector(images)]).predict(images)
    ids = [f"{DATASET}/p{face // FACES_EACH}/{face}" for face in range(len(images))]
    faces = face_table(ids, images=images, split="val")
    faces[list(AUS)] = np.where(readings > _MIDDLE, 0.6, 0.0)
    write_shards([faces], root / "data" / "ingest" / DATASET, FACE_SCHEMA)
    write_params(root, {"datasets": {"aus": DATASET}, "ingest": {"paths": {DATASET: "faces.csv"}}})


def mark_faces(root: Path, md5: str) -> None:
    """Record a hash of the ingested faces in dvc.lock."""
    entry = {"path": "data/ingest", "hash": "md5", "md5": md5}
    lock = {"schema": "2.0", "stages": {"train": {"cmd": "x", "deps": [entry]}}}
    (root / "dvc.lock").write_text(yaml.safe_dump(lock))
