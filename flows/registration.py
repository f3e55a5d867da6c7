"""Registers the trained detectors as a version of the registered model.

The version loads with `mlflow.pyfunc.load_model` alone: it has its own copy of the code, pinned
requirements, a signature and an example. Tags and metadata say what it was trained on.
"""

import hashlib
import logging
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from facsimile.errors import FacsimileError
from facsimile.faces.arms import ALL_GENERATED
from facsimile.faces.aus import AUS
from flows.mlflow_runs import COMMIT, ended_run, log, open_run, revision_of, revision_tags
from flows.model_registry import (
    CHALLENGER,
    CHAMPION,
    CONTENT,
    MODEL,
    ModelRegistry,
    RegisteredVersion,
)
from flows.tracking import find_run, input_data
from tasks.params import PARAMS, read_params
from tasks.provenance.dvc_files import locked_stages
from tasks.provenance.git import Revision, read_revision

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.models import ModelSignature

    from facsimile.detection.au_model import AUModel

TRAIN = Path("data/train")
INGEST = Path("data/ingest")
ARM = "facsimile.arm"
MEAN_F1 = "facsimile.validation.f1"
DATA = "dvc.deps."
"""Prefix of the tags with the hashes of the data that a version was trained on."""

VALIDATION = "validation.parquet"
"""Artifact of a version's run: presence that it detected on the validation faces, ``AUxx``."""

_BATCH = 256
_FIRST = "the first version"
_RUN = "register"


@dataclass(frozen=True)
class Registration:
    """Result of `register`.

    Attributes:
        version: the version of the detectors.
        is_new: whether it was added now; the same detectors are registered only once.
    """

    version: RegisteredVersion
    is_new: bool

    def __str__(self) -> str:
        state = "registered as" if self.is_new else "already registered as"
        arm, f1 = self.version.tags.get(ARM, ""), self.version.tags.get(MEAN_F1, "")
        aliases = f", {' and '.join(self.version.aliases)}" if self.version.aliases else ""
        return f"{arm} {state} {self.version} of {MODEL}{aliases}; validation F1 {f1}"


def register(root: Path, arm: str = ALL_GENERATED, parent: str = "") -> Registration:
    """Register the detectors of an arm, and make them the challenger.

    The first version becomes the champion as well.

    Args:
        root: project folder.
        arm: training arm whose detectors, of all seeds, become one model.
        parent: MLflow run to nest the new run in.

    Raises:
        FacsimileError: the arm was not trained, or the MLflow store does not respond.
    """
    root = root.resolve()
    registry = ModelRegistry(root)
    detectors = _detectors(root, arm)
    registry.versions()  # finds out that the store does not respond before the work
    with tempfile.TemporaryDirectory(prefix="facsimile-register-") as folder:
        registered = _Candidate(root, arm, detectors)
        path = registered.save(Path(folder) / "model")
        content = _digest(path)
        same = next((v for v in registry.versions() if v.tags.get(CONTENT) == content), None)
        if same is None:
            number = registry.use(
                lambda client: registered.upload(client, registry, path, content, parent)
            )
        else:
            number = str(same.number)
    if same is None or CHALLENGER not in same.aliases:
        registry.use(lambda client: client.set_registered_model_alias(MODEL, CHALLENGER, number))
    if registry.find(CHAMPION) is None:
        registry.set_champion(registry.require(number), _FIRST)
    return Registration(registry.require(number), same is None)


def validation_faces(root: Path) -> Iterator[pd.DataFrame]:
    """Batches of annotated faces of the validation people, with images and AUs.

    Raises:
        FacsimileError: there are no ingested faces.
    """
    from facsimile.faces.tables import iter_table

    dataset = annotated_dataset(root)
    columns = ["sample_id", "subject_id", "split", "image", *AUS]
    for batch in iter_table(root / INGEST / dataset, _BATCH, columns):
        faces = batch[batch["split"] == "val"]
        if len(faces):
            yield faces.reset_index(drop=True)


def annotated_dataset(root: Path) -> str:
    """The dataset of params.yaml that detectors are trained on and validated with."""
    return read_params(root / PARAMS)["datasets"].aus


def _detectors(root: Path, arm: str) -> Path:
    folder = root / TRAIN / arm
    if not list(folder.glob("seed-*")):
        trained = sorted(path.parent.name for path in (root / TRAIN).glob("*/seed-0"))
        if not trained:
            raise FacsimileError(f"{root / TRAIN}: no detectors yet; run `facsimile run train`")
        raise FacsimileError(f"no detectors of arm {arm!r}; --arm takes {', '.join(trained)}")
    return folder


class _Candidate:
    """Detectors of one arm, their thresholds and validation scores.

    Args:
        root: project folder.
        arm: name of the arm.
        detectors: folder of its detectors.
    """

    def __init__(self, root: Path, arm: str, detectors: Path) -> None:
        from facsimile.detection import AUEnsemble
        from facsimile.detection.au_model import AUModel
        from facsimile.faces.annotation import presence
        from facsimile.faces.tables import decode_images, encode_png
        from facsimile.measurement import choose_thresholds, f1_per_au, mean_defined

        self.arm = arm
        self.dataset = annotated_dataset(root)
        self.detectors = detectors
        ensemble = AUEnsemble.load(detectors)
        labels, readings, example = [], [], b""
        for faces in validation_faces(root):
            images = decode_images(faces)
            example = example or encode_png(images[0])
            labels.append(faces[list(AUS)].to_numpy(float))
            readings.append(ensemble.predict(images))
        if not labels:
            raise FacsimileError(f"{root / INGEST}: no validation faces")
        truth, predictions = np.concatenate(labels), np.concatenate(readings)
        learnt = ~np.isnan(predictions).all(0)
        # The mean of several detectors has other optimal thresholds than each of them.
        thresholds = np.where(learnt, choose_thresholds(truth, predictions), np.nan)
        self.model: AUModel = AUModel(ensemble, thresholds, images.shape[1])
        self.example = example
        self.detected = pd.DataFrame(presence(predictions, thresholds), columns=list(AUS))
        scores = f1_per_au(presence(truth), self.detected)
        self.scores = {
            au: float(score) for au, score in zip(AUS, scores, strict=True) if score == score
        }
        self.mean_f1 = mean_defined(scores)
        locked = locked_stages(root).get("train", {})
        self.training_data = input_data(locked)
        run = find_run(root, "train", locked) if locked else None
        self.revision: Revision = revision_of(run) if run else read_revision(root)

    def save(self, path: Path) -> Path:
        """Write the model as MLflow stores it."""
        import mlflow.pyfunc

        from facsimile.detection.au_model import write_code

        logging.getLogger("mlflow.pyfunc").setLevel(logging.WARNING)  # it reports each check
        data, code = path.with_name("detectors"), path.with_name("code")
        for folder in (data, code):
            folder.mkdir()
        self.model.save(data, self.detectors)
        mlflow.pyfunc.save_model(
            path,
            loader_module="facsimile.detection.au_model",
            data_path=str(data),
            code_paths=[str(write_code(code))],
            signature=_signature(self.model),
            input_example=pd.DataFrame({"image": [self.example]}),
            pip_requirements=pinned_requirements(),
            metadata=self.metadata(),
        )
        return path

    def metadata(self) -> dict[str, Any]:
        """Provenance of the model, stored in its MLmodel file."""
        return {
            "arm": self.arm,
            "dataset": self.dataset,
            "commit": str(self.revision),
            "training_data": self.training_data,
            "validation_f1": {"mean": self.mean_f1, **self.scores},
            "image_size": self.model.size,
        }

    def upload(
        self,
        client: "MlflowClient",
        registry: ModelRegistry,
        path: Path,
        content: str,
        parent: str,
    ) -> str:
        """Log the saved model to a run of its own and add it as a version. Returns its number."""
        tags = {"mlflow.parentRunId": parent} if parent else {}
        tags |= revision_tags(self.revision) | {ARM: self.arm, CONTENT: content}
        begin = time.time()
        run = open_run(client, registry.store.experiment, _RUN, begin, tags)
        with ended_run(client, run, "FINISHED"):
            scores = {f"validation.f1.{name}": value for name, value in self._all_scores().items()}
            log(client, run, metrics=scores, milliseconds=int(begin * 1000))
            client.log_artifacts(run, str(path), "model")
            self.detected.to_parquet(path.with_name(VALIDATION))
            client.log_artifact(run, str(path.with_name(VALIDATION)))
        if not client.search_registered_models(f"name = '{MODEL}'"):
            client.create_registered_model(
                MODEL, description="Ensemble of AU detectors trained by Facsimile."
            )
        source = f"{client.get_run(run).info.artifact_uri}/model"
        version_tags = {
            ARM: self.arm,
            CONTENT: content,
            COMMIT: str(self.revision),
            MEAN_F1: f"{self.mean_f1:.4f}",
            **{f"{DATA}{name}": md5 for name, md5 in self.training_data.items()},
        }
        version = client.create_model_version(MODEL, source, run, tags=version_tags)
        return str(version.version)

    def _all_scores(self) -> Mapping[str, float]:
        return {"mean": self.mean_f1, **self.scores}


def pinned_requirements() -> list[str]:
    """Installed versions of the packages that the model needs."""
    from facsimile.detection.au_model import PACKAGES

    # A local version such as 2.11.0+cpu is not on the package index.
    return [f"{name}=={installed_version(name).partition('+')[0]}" for name in PACKAGES]


def _signature(model: "AUModel") -> "ModelSignature":
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, DataType, Schema

    intensities = [ColSpec(DataType.double, au, required=False) for au in model.aus]
    present = [ColSpec(DataType.boolean, f"{au}_present", required=False) for au in model.aus]
    error = ColSpec(DataType.string, "error", required=False)
    return ModelSignature(
        Schema([ColSpec(DataType.binary, "image")]), Schema([*intensities, *present, error])
    )


def _digest(model: Path) -> str:
    """Hash of weights, options and code of a saved model."""
    digest = hashlib.sha256()
    for folder in ("data", "code"):
        for file in sorted(path for path in (model / folder).rglob("*") if path.is_file()):
            digest.update(f"{file.relative_to(model).as_posix()}\0".encode())
            digest.update(hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()
