"""Reads the AUs of pictures and videos with a registered model, or serves the model over HTTP."""

import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from facsimile.errors import FacsimileError
from flows.loopback import HOST, answers, reserve
from flows.model_registry import CHAMPION, ModelRegistry, RegisteredVersion
from flows.picture_files import project_preprocessing
from flows.registered_model import RegisteredModel
from flows.supervisor import supervised

if TYPE_CHECKING:
    import numpy as np

    from facsimile.datasets import Preprocessing

_BATCH = 64  # faces held in memory
_SERVER = Path(__file__).with_name("scoring_process.py")
_POLL_SECONDS = 0.2


@dataclass(frozen=True)
class Reading:
    """AUs of one face.

    Attributes:
        path: picture or video.
        frame: number of the frame of a video, counted from 1; None for a picture.
        aus: ``AU01`` … in [0, 1] and ``AU01_present`` …; empty if there is an error.
        error: why the face could not be read; completes a sentence that begins with its name.
    """

    path: Path
    frame: int | None
    aus: dict[str, float | bool]
    error: str = ""

    @property
    def name(self) -> str:
        return str(self.path) if self.frame is None else f"{self.path} frame {self.frame}"


def find_files(paths: Iterable[Path]) -> list[Path]:
    """Pictures and videos in folders and below, sorted; files are taken as they are."""
    from facsimile.datasets.frames import is_image
    from facsimile.datasets.videos import VIDEO_SUFFIXES

    found: list[Path] = []
    for path in paths:
        if not path.is_dir():
            found.append(path)
            continue
        inside = sorted(
            file
            for file in path.rglob("*")
            if file.is_file() and (is_image(file) or file.suffix.lower() in VIDEO_SUFFIXES)
        )
        if not inside:
            raise FacsimileError(f"{path}: no pictures or videos in this folder")
        found += inside
    return found


def predict(
    root: Path,
    files: Iterable[Path],
    model: str = CHAMPION,
    *,
    landmarks: str = "",
    crop: bool | None = None,
    every: int = 1,
    on_file: Callable[[], None] = lambda: None,
) -> Iterator[Reading]:
    """Read the AUs of each face, prepared as `ingest` prepares the annotated dataset.

    Args:
        root: project folder.
        files: pictures and videos.
        model: alias or number of a version, or a URI that MLflow loads.
        landmarks: what finds the landmarks to align faces by, see `facsimile.datasets.Aligner`; by
            default, that of the annotated dataset in params.yaml.
        crop: whether to crop pictures that are not square to their centre; by default, as for the
            annotated dataset.
        every: read only every n-th frame of videos.
        on_file: called after each file.

    Raises:
        FacsimileError: there is no such model, or its process has failed.
    """
    registry = ModelRegistry(root)
    uri = model if ":" in model else registry.require(model).uri
    with RegisteredModel(uri, registry.environment) as loaded:
        size = loaded.metadata.get("image_size")
        preprocessing = project_preprocessing(root, size, landmarks, crop)
        faces = _faces(files, preprocessing, every, on_file)
        while batch := list(islice(faces, _BATCH)):
            yield from _read(loaded, batch)


def serve(
    root: Path, port: int, model: str, on_ready: Callable[[RegisteredVersion, str], None]
) -> int:
    """Serve a version with MLflow's scoring server on the loopback interface, until it ends.

    Args:
        root: project folder.
        port: TCP port.
        model: alias or number of the version.
        on_ready: called with the version and the URL for requests, once it answers.

    Returns:
        The exit status of the server.

    Raises:
        FacsimileError: there is no such version, or the port is taken.
    """
    registry = ModelRegistry(root)
    version = registry.require(model)
    reserve(port).close()
    command, options = supervised([sys.executable, "-P", str(_SERVER), version.uri, str(port)])
    server = subprocess.Popen(command, env=registry.environment, **options)
    try:
        while server.poll() is None and not answers(f"http://{HOST}:{port}/ping"):
            time.sleep(_POLL_SECONDS)
        if server.poll() is None:
            on_ready(version, f"http://{HOST}:{port}/invocations")
        return server.wait()
    finally:
        server.terminate()
        server.wait()


def _faces(
    files: Iterable[Path],
    preprocessing: "Preprocessing",
    every: int,
    on_file: Callable[[], None],
) -> "Iterator[tuple[Path, int | None, np.ndarray | FacsimileError]]":
    """Path, frame and face of each picture and frame."""
    from facsimile.datasets.videos import VIDEO_SUFFIXES, iter_frames

    for path in files:
        if not path.exists():
            yield path, None, FacsimileError("does not exist")
        elif path.suffix.lower() in VIDEO_SUFFIXES:
            for frame, picture in iter_frames(path, every):
                yield path, frame, preprocessing.prepare(picture)
        else:
            yield path, None, preprocessing.prepare(path)
        on_file()


def _read(
    model: RegisteredModel, batch: "list[tuple[Path, int | None, np.ndarray | FacsimileError]]"
) -> Iterator[Reading]:
    """Readings of a batch, in its order."""
    from facsimile.faces.tables import encode_png

    images = [encode_png(face) for *_, face in batch if not isinstance(face, FacsimileError)]
    rows = iter(model.predict(images).to_dict("records") if images else [])
    for path, frame, face in batch:
        if isinstance(face, FacsimileError):
            yield Reading(path, frame, {}, str(face))
            continue
        values = next(rows)
        error = values.pop("error", None)
        yield Reading(path, frame, {} if error else values, error or "")
