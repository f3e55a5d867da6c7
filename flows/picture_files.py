"""Pictures from outside the pipeline: found, prepared as `ingest` does it, and written."""

import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from facsimile.errors import FacsimileError
from tasks.params import LANDMARK_COLUMNS, PARAMS, read_params

if TYPE_CHECKING:
    from facsimile.datasets import Preprocessing


def project_preprocessing(
    root: Path, size: int | None, landmarks: str, crop: bool | None
) -> "Preprocessing":
    """The preprocessing of the annotated dataset.

    Args:
        root: project folder.
        size: side of the faces, pixels; None for that of the project.
        landmarks: what finds the landmarks to align faces by, see `facsimile.datasets.Aligner`; if
            empty, that of the annotated dataset in params.yaml.
        crop: whether to crop pictures that are not square to their centre; None for as in the
            annotated dataset.
    """
    from facsimile.datasets import Aligner, Preprocessing

    params = read_params(root / PARAMS)
    dataset, ingest = params["datasets"].aus, params["ingest"]
    declared = ingest.align.get(dataset, "")
    landmarks = landmarks or (declared if declared != LANDMARK_COLUMNS else "")
    if crop is None:
        crop = dataset in ingest.paths and ingest.paths[dataset].crop is not None
    if landmarks:
        sys.path.insert(0, str(root.resolve()))  # where the function may be, as for `ingest`
    return Preprocessing(
        size or ingest.size, crop, aligner=Aligner(landmarks) if landmarks else None
    )


def find_pictures(folder: Path) -> list[Path]:
    """Pictures in a folder and below, sorted. Raises FacsimileError if there are none."""
    from facsimile.datasets.frames import is_image, other_suffixes

    pictures = sorted(filter(is_image, folder.rglob("*")))
    if not pictures:
        raise FacsimileError(
            f"{folder}: no pictures in this folder{other_suffixes(folder.rglob('*'))}"
        )
    return pictures


def passed_over(path: Path) -> str:
    """Numbers of other files in a folder and below, by suffix: ``3 .heic, 1 .txt``."""
    from facsimile.datasets.frames import is_image

    others = Counter(
        file.suffix.lower() or file.name
        for file in path.rglob("*")
        if file.is_file() and not is_image(file) and not file.name.startswith(".")
    )
    return ", ".join(f"{count:,} {suffix}" for suffix, count in others.most_common())


def name_outputs(paths: Sequence[Path], out: Path) -> dict[Path, Path]:
    """Picture → file to write.

    Args:
        paths: pictures, or folders of pictures.
        out: a PNG for a single picture, otherwise a folder, in which subfolders are kept.

    Raises:
        FacsimileError: a folder has no pictures, several pictures would become one file, or a
            picture would be overwritten by its edit.
    """
    if len(paths) == 1 and not paths[0].is_dir():
        if out.suffix.lower() != ".png":
            raise FacsimileError(f"{out}: pictures are written as PNG; name a file that ends so")
        files = {paths[0]: out}
    else:
        if out.is_file():
            raise FacsimileError(f"{out} is a file, but several pictures need a folder")
        files = {}
        for path in paths:
            folder = path if path.is_dir() else path.parent
            inside = find_pictures(path) if path.is_dir() else [path]
            if path.resolve() in out.resolve().parents:  # results of an earlier call
                inside = [file for file in inside if out not in file.parents]
            for file in inside:
                files[file] = (out / file.relative_to(folder)).with_suffix(".png")
    sources = {path.resolve() for path in files}
    written: dict[Path, Path] = {}
    for path, target in files.items():
        if target.resolve() in sources:
            raise FacsimileError(f"{target} would be overwritten; name another file or folder")
        if other := written.get(target):
            raise FacsimileError(f"{path} and {other} would both become {target}")
        written[target] = path
    return files
