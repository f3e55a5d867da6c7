"""The studio of a project: its faces, editors, generator and AU readers, for `facsimile studio`."""

import base64
import secrets
import time
from contextlib import chdir
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from facsimile.datasets import READERS
from facsimile.detection import AUEnsemble, AUOracle
from facsimile.editing import Editor, load_editor
from facsimile.editor_options import OPTIONS
from facsimile.errors import FacsimileError
from facsimile.faces.aus import AU_NAMES, AUS
from facsimile.faces.demographics import AGE_GROUPS, GENDERS
from facsimile.faces.tables import decode_images, encode_png, iter_table, read_faces
from facsimile.generator import InferenceOptions
from facsimile.release import embed, packet
from facsimile.studio import (
    GALLERY_COLUMNS,
    LEVELS,
    PictureFile,
    Recipe,
    SampledPerson,
    StudioFace,
    StudioSession,
    TableFace,
    choose_people,
    safe_file_name,
    use_fastest_threads,
)
from flows.face_editing import find_editor, fitted_editors, marked_png
from flows.picture_files import project_preprocessing
from tasks.helpers.generator_loading import load_generator
from tasks.helpers.identity import identity_threshold
from tasks.helpers.new_people import PersonSampler
from tasks.params import PARAMS, read_params
from tasks.shared.artefacts import BASELINE, ENCODE, GENERATOR, INGEST, ORACLE
from tasks.shared.machine import find_device
from tasks.shared.stage import Compute

PREVIEW_STEPS = 3
PEOPLE = 8
"""Held-out people of each dataset on the page, at most."""

ADDED = "added"


class Studio:
    """What the page of `facsimile studio` shows and does. Not thread-safe.

    Args:
        root: project folder.
        method: editor to begin with; by default, that of the pipeline.
        landmarks, crop: see `project_preprocessing`.

    Raises:
        FacsimileError: there is no such editor, or the pipeline has not run.
    """

    def __init__(
        self, root: Path, method: str = "", *, landmarks: str = "", crop: bool | None = None
    ) -> None:
        self.root = root.resolve()
        with chdir(root):
            params = read_params(PARAMS)
            self._datasets, sampling = params["datasets"], params["sampling"]
            self._folders = fitted_editors()
            self.method = method or next(iter(self._folders))
            find_editor(self.method)
            compute = Compute(find_device(None), 1, 1)
            generator = load_generator(compute, sampling)
            few = sampling.model_copy(update={"steps": min(PREVIEW_STEPS, sampling.steps)})
            reader = AUEnsemble.load(BASELINE, compute.device)
            oracle = _oracle(generator.image_size, compute.device)
            self.threshold = identity_threshold() if oracle else None
            self.session = StudioSession(
                generator,
                load_generator(compute, few),
                reader,
                self._load,
                oracle and (lambda images: oracle.predict_with_embeddings(images)[1]),
                [face for name in self._names() for face in held_out_faces(name)],
            )
            self.session.editor(self.method)
        self._options = InferenceOptions(
            sampling.solver,
            sampling.steps,
            sampling.prior_steps,
            getattr(torch, sampling.dtype),
        )
        self._device = compute.device
        self._preprocessing = project_preprocessing(
            self.root, generator.image_size, landmarks, crop
        )
        self._sampler: PersonSampler | None = None

    def _names(self) -> list[str]:
        """Ingested datasets with held-out people."""
        names = [self._datasets.aus, *self._datasets.tests]
        return [name for name in names if (INGEST / name).exists()]

    def _load(self, method: str) -> Editor:
        if method not in self._folders:
            raise FacsimileError(f"editor {method} is not fitted")
        return load_editor(self.root / self._folders[method])

    def warm_up(self) -> int:
        """Choose the number of threads that is fastest now, for this thread; returns it."""
        size = self.session.generator.image_size
        picture = torch.zeros(1, 3, size, size)
        return use_fastest_threads(
            lambda: self.session.generator.encode(picture), time.perf_counter
        )

    def describe(self) -> dict[str, Any]:
        """Everything the page needs to begin; see `facsimile.studio.render_page`."""
        faces = [self._face(key) for key in self.session.faces]
        notes = [_RENDERED] if self._datasets.aus in READERS else []
        editors = []
        for name in self._folders:
            try:
                editor = self.session.editor(name)
            except FacsimileError as error:  # such as one that was fitted for another generator
                notes.append(f"{error}.")
                continue
            editors.append({"name": name, "aus": editor.aus, "takes": editor.takes})
        others = [name for name in OPTIONS if name not in self._folders]
        fit = f"Not fitted: {', '.join(others)}. `facsimile editors` fits them."
        return {
            "faces": faces,
            "editors": editors,
            "method": self.method,
            "aus": {au: AU_NAMES[au] for au in AUS},
            "levels": LEVELS,
            "threshold": self.threshold,
            "genders": GENDERS,
            "age_groups": AGE_GROUPS,
            "sampling": "" if (self.root / ENCODE).exists() else _NO_SAMPLING,
            "crop": self._preprocessing.crop,
            "notes": notes,
            "unfitted": fit if others else "",
        }

    def open(self, key: str) -> dict[str, Any]:
        """A face with its AU readings."""
        return self._face(key) | {"aus": _numbers(self.session.open(key).aus[0])}

    def add_picture(self, content: bytes, name: str, crop: bool) -> dict[str, Any]:
        """Add an uploaded picture. Raises FacsimileError if it is not one face."""
        name = safe_file_name(name)
        face = replace(self._preprocessing, crop=crop).prepare(content)
        if isinstance(face, FacsimileError):
            raise FacsimileError(f"{name} {face}")
        aligner = self._preprocessing.aligner
        origin = PictureFile(name, crop, aligner.name if aligner else "")
        return self.open(self.session.add(StudioFace(face, name, ADDED, origin)))

    def add_person(self, gender: str, age_group: str) -> dict[str, Any]:
        """Sample a new person and add their neutral face."""
        with chdir(self.root):
            if self._sampler is None:
                self._sampler = PersonSampler(self.session.generator, self._datasets)
            seed = secrets.randbelow(10**6)
            face = self._sampler.sample(gender, age_group, seed)
        title = f"new person: {gender}, {age_group}"
        origin = SampledPerson(gender, age_group, seed)
        return self.open(self.session.add(StudioFace(face, title, ADDED, origin)))

    def edit(
        self,
        key: str,
        levels: dict[str, float],
        method: str,
        reference: str | None,
        preview: bool,
    ) -> dict[str, Any]:
        """An edit, with all that belongs to it unless it is a preview."""
        edited = self.session.edit(key, levels, method, reference=reference, preview=preview)
        face, editor = self.session.face(key), self.session.editor(method)
        name = f"{Path(face.origin.file).stem}-edited.png"
        png = marked_png(edited.image, name, face.origin.file, editor, self.session.generator)
        answer: dict[str, Any] = {"image": _uri(png)}
        if preview:
            return answer
        like = None if reference is None else self.session.face(reference).origin
        recipe = Recipe(
            face.origin,
            levels,
            like,
            "" if method == next(iter(self._folders)) else method,
            str(self._folders[method]),
            str(GENERATOR),
            str(BASELINE),
            self._options,
            self._device,
            self.session.generator.image_size,
        )
        used = [key] if reference is None else [key, reference]
        return answer | {
            "file": name,
            "aus": _numbers(edited.aus),
            "drift": edited.drift,
            "python": recipe.python(),
            "command": recipe.command(),
            "originals": [
                name for name in used if not isinstance(self.session.face(name).origin, PictureFile)
            ],
        }

    def _face(self, key: str) -> dict[str, Any]:
        face = self.session.face(key)
        png = encode_png(face.image)
        if isinstance(face.origin, SampledPerson):
            provenance = {"generator_md5": self.session.generator.digest}
            png = embed(png, packet(face.origin.file, None, provenance))
        file = str(Path(face.origin.file).with_suffix(".png"))
        return {
            "key": key,
            "title": face.title,
            "kind": face.kind,
            "file": file,
            "image": _uri(png),
        }


_NO_SAMPLING = "New people need the stages encode and neutralizer: run `facsimile run synthesize`."
_RENDERED = (
    "This project's generator has learnt rendered faces; for photographs it needs one of "
    "photographs."
)


def held_out_faces(dataset: str) -> list[StudioFace]:
    """Faces of people of the split ``test`` of an ingested dataset, see `choose_people`."""
    table = INGEST / dataset
    chosen = choose_people(read_faces(table, GALLERY_COLUMNS), PEOPLE)
    parts = [
        batch[batch["sample_id"].isin(chosen["sample_id"])]
        for batch in iter_table(table, 256, ["sample_id", "image"])
    ]
    rows = pd.concat(parts, ignore_index=True)
    images: dict[str, np.ndarray] = dict(
        zip(rows["sample_id"], decode_images(rows, str(table)), strict=True)
    )
    return [
        StudioFace(
            images[row.sample_id],
            f"{row.subject_id}, {row.kind}",
            row.kind,
            TableFace(str(table), row.sample_id),
        )
        for row in chosen.itertuples()
    ]


def _oracle(size: int, device: str) -> AUOracle | None:
    """The face recogniser, if there is one for faces of this size."""
    if not ORACLE.exists():
        return None
    oracle = AUOracle.load(ORACLE, device)
    return oracle if oracle.config["image_size"] == size else None


def _numbers(aus: np.ndarray) -> list[float]:
    return [round(float(value), 3) for value in aus]


def _uri(png: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"
