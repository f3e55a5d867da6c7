"""Open datasets of files as section `ingest` of params.yaml declares them."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import pandas as pd

from facsimile.datasets import (
    ADAPTERS,
    Adapter,
    Aligner,
    Preprocessing,
    Rejects,
    SubjectFold,
    recognise,
)
from facsimile.errors import FacsimileError
from facsimile.published_folds import published_groups
from tasks.params import LANDMARK_COLUMNS, IngestParams
from tasks.params.ingest import FoldParams


@dataclass(frozen=True)
class UserDataset:
    """A dataset of files whose annotations are read.

    Attributes:
        adapter: key of ``ADAPTERS``.
        faces: valid annotations, see `Adapter.open`.
        preprocessing: how its images become faces.
    """

    adapter: str
    faces: pd.DataFrame
    preprocessing: Preprocessing

    @property
    def reader(self) -> Adapter:
        return ADAPTERS[self.adapter]


def require_source(path: Path, where: str = "") -> None:
    """Raise FacsimileError unless `path` is a file or a folder.

    Args:
        path: of a dataset.
        where: beginning of the message.
    """
    if not path.exists():
        raise FacsimileError(f"{where}{path} does not exist")
    if not (path.is_file() or path.is_dir()):  # reading a pipe would block
        raise FacsimileError(f"{where}{path} is neither a file nor a folder")


def open_dataset(
    name: str,
    ingest: IngestParams,
    rejects: Rejects,
    splits: Mapping[str, str] = MappingProxyType({}),
) -> UserDataset:
    """Read and check the annotations of a dataset under ``ingest.paths``.

    Args:
        name: of the dataset.
        ingest: section of params.yaml.
        rejects: receives violations of single faces.
        splits: split of each person known from other datasets; kept for the same person here.

    Raises:
        FacsimileError: see `recognise`, `Aligner` and `Adapter.open`.
    """
    source = ingest.paths[name]
    adapter = source.adapter or recognise(source.root)
    options = source.model_dump(include={"first_frame", "scale"}, exclude_none=True)
    fold = _fold(adapter, ingest.fold)
    aligner = _aligner(name, ingest)
    landmarks = aligner is not None and not aligner.name
    faces = ADAPTERS[adapter].open(
        source.root, name, ingest.seed, rejects, fold, splits, landmarks, options
    )
    preprocessing = Preprocessing(ingest.size, source.crop is not None, ingest.thin, aligner)
    return UserDataset(adapter, faces, preprocessing)


def _fold(adapter: str, fold: FoldParams | None) -> SubjectFold | None:
    """The fold of a dataset; None for datasets that a published split does not have."""
    if fold is None:
        return None
    if fold.count:
        return SubjectFold(fold.count, fold.index)
    groups = published_groups(fold.published, adapter)
    return SubjectFold(len(groups), fold.index, groups) if groups else None


def _aligner(name: str, ingest: IngestParams) -> Aligner | None:
    """The aligner of a dataset; None if its faces are already aligned."""
    if name not in ingest.align:
        return None
    by = ingest.align[name]
    try:
        return Aligner(None if by == LANDMARK_COLUMNS else by)
    except FacsimileError as error:
        raise FacsimileError(f"params.yaml: ingest.align.{name}: {error}") from error
