"""FFHQ: 70,000 aligned portraits, without AUs, identities or a test split.

Karras, Laine, Aila: A Style-Based Generator Architecture for Generative Adversarial Networks, CVPR
2019, github.com/NVlabs/ffhq-dataset.

    images1024x1024/00000/00000.png   or thumbnails128x128/00000/00000.png, as published
    json/00000.json                   optional, here or in a subfolder: labels by a face analysis
                                      service, github.com/DCGM/ffhq-features-dataset

A label file is a list of faces, largest first; it is empty if no face was found.
"""

import json
import math
from pathlib import Path

import pandas as pd

from facsimile.datasets.adapter import Adapter, image_files
from facsimile.datasets.frames import is_image, other_suffixes
from facsimile.datasets.rejects import Rejects
from facsimile.datasets.terms import Terms
from facsimile.errors import FacsimileError
from facsimile.faces.aus import AGE_YEARS, NUISANCES
from facsimile.faces.schema import Violation

IMAGES = ("images1024x1024", "thumbnails128x128")
LABELS = "json"


def recognises(path: Path) -> bool:
    """Whether `path` is a folder with one of ``IMAGES``."""
    return any((path / name).is_dir() for name in IMAGES)


def annotate(path: Path, dataset: str, rejects: Rejects) -> pd.DataFrame:
    """One row per image, with ``sample_id`` ``<dataset>/00000``; each image counts as a person.

    Nuisances are null without labels. ``beard`` is the higher confidence in [0, 1] of beard and
    mustache; ages are clipped to ``AGE_YEARS``. If both folders of ``IMAGES`` exist, the larger
    images are read.

    Args:
        path: folder with one of ``IMAGES``.
        dataset: prefix of the ids.
        rejects: receives images with the same name as another, and images whose labels are
            unreadable, missing or out of range.

    Raises:
        FacsimileError: there is no image folder, or it has no images.
    """
    folder = next((path / name for name in IMAGES if (path / name).is_dir()), None)
    if folder is None:
        raise FacsimileError(f"{path}: no folder {' or '.join(IMAGES)}")
    candidates = (path / LABELS, *sorted(path.glob(f"*/{LABELS}")))
    labels = next((candidate for candidate in candidates if candidate.is_dir()), None)
    seen: dict[str, Path] = {}
    rows: list[dict[str, object]] = []
    files = sorted(folder.rglob("*"))
    found = list(filter(is_image, files))
    if not found:
        raise FacsimileError(f"{folder}: no images{other_suffixes(files)}")
    for image in found:
        violations: list[Violation] = []
        if image.stem in seen:
            reason = f"has the same name as {seen[image.stem]}"
            violations.append(Violation(str(image), None, None, None, reason))
        seen.setdefault(image.stem, image)
        file = labels / f"{image.stem}.json" if labels else None
        nuisances = _read_labels(file, violations) if file and file.is_file() else {}
        if file and not file.is_file():
            reason = f"no such file, needed for {image}"
            violations.append(Violation(str(file), None, None, None, reason))
        if not violations:
            row = {"sample_id": f"{dataset}/{image.stem}", "subject_id": f"ffhq-{image.stem}"}
            rows.append(
                {**row, **nuisances, "image_path": str(image.absolute()), "file": str(image)}
            )
        rejects.add(violations)
    columns = ["sample_id", "subject_id", *NUISANCES, "image_path", "file"]
    return pd.DataFrame(rows, columns=columns).assign(line=None)


def _read_labels(file: Path, violations: list[Violation]) -> dict[str, float]:
    """``NUISANCES`` of the largest face; empty if there is no face."""
    try:
        faces = json.loads(file.read_text("utf-8-sig", "replace"))
    except json.JSONDecodeError as error:
        reason = f"not readable as JSON ({error.msg})"
        violations.append(Violation(str(file), error.lineno, None, None, reason))
        return {}
    if faces == []:
        return {}
    try:
        attributes = faces[0]["faceAttributes"]
        hair = attributes["facialHair"]
        found = {
            "glasses": attributes["glasses"],
            "beard": hair["beard"],
            "moustache": hair["moustache"],
            "gender": attributes["gender"],
            "age": attributes["age"],
        }
    except (KeyError, IndexError, TypeError) as error:
        reason = f"does not have the published label format ({error!r})"
        violations.append(Violation(str(file), None, None, None, reason))
        return {}
    for name, value in found.items():
        if reason := _fault(name, value):
            violations.append(Violation(str(file), None, name, str(value), reason))
    if violations:
        return {}
    glasses, beard, moustache, gender, age = found.values()
    youngest, oldest = AGE_YEARS
    return {
        "eyeglasses": float(glasses != "NoGlasses"),
        "beard": float(max(beard, moustache)),
        "male": float(gender == "male"),
        "age": min(max((age - youngest) / (oldest - youngest), 0.0), 1.0),
    }


def _fault(name: str, value: object) -> str | None:
    """Why a label is invalid; None if it is valid."""
    if name == "glasses":
        return None if isinstance(value, str) else "not text"
    if name == "gender":
        return None if value in ("female", "male") else "not one of female, male"
    if isinstance(value, bool) or not isinstance(value, int | float):
        return "not a number"
    if name == "age":
        return None if 0 <= value < math.inf else "not an age"
    return None if 0 <= value <= 1 else "outside [0, 1]"


ADAPTER = Adapter(
    recognises,
    annotate,
    image_files,
    reads="`images1024x1024/00000/00000.png` … or `thumbnails128x128`, one person per image; "
    "attributes from `json/00000.json` if present",
    labels="eyeglasses, beard, gender, age if present; no AUs",
    terms=Terms(
        "CC BY-NC-SA 4.0; each photograph comes under a licence of its own, which asks for credit",
        "https://github.com/NVlabs/ffhq-dataset",
        licence="cc-by-nc-sa-4.0",
        publishable=True,
        people=True,
    ),
    image_column="image",
)
