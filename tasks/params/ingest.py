"""Section `ingest`: sources of the faces."""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, NonNegativeInt, PositiveInt, model_validator

from facsimile.adapter_modules import ADAPTER_MODULES, LANDMARK_MODELS
from facsimile.published_folds import PUBLISHED_FOLDS, count_parts
from tasks.params.section import DatasetName, Section, Share, one_of

LANDMARK_COLUMNS = "columns"

LandmarkSource = Annotated[
    str, Field(pattern=rf"^({'|'.join((LANDMARK_COLUMNS, *LANDMARK_MODELS))}|[\w.]+:\w+)$")
]
AdapterName = Annotated[str, one_of(lambda: ADAPTER_MODULES, "an adapter")]


class SourceParams(Section):
    """Files of a user dataset. A plain path stands for its `root`.

    Attributes:
        root: file or folder.
        adapter: key of `facsimile.datasets.ADAPTERS` (default: recognised from the files).
        crop: crop images that are not square to the largest centred square (default: reject them).
        first_frame: number of the first DISFA frame, for people whose folders leave it ambiguous.
        scale: scale of the AUs of a table, see `facsimile.datasets.table_values` (default: 0-5 for
            OpenFace columns such as ``AU01_r``, else 0-1).
    """

    root: Path
    adapter: AdapterName | None = None
    crop: Literal["center"] | None = None
    first_frame: Literal[0, 1] | None = None
    scale: Literal["0-1", "0-5", "0-100", "percent"] | None = None

    @model_validator(mode="before")
    @classmethod
    def _path_alone(cls, value: Any) -> Any:
        return value if isinstance(value, (dict, SourceParams)) else {"root": value}


class FoldParams(Section):
    """Cross-validation: part `index` (from 0) of the people is the test set.

    Attributes:
        index: see above.
        count: number of parts; the people of each are drawn.
        published: a key of `facsimile.published_folds.PUBLISHED_FOLDS` instead, whose parts are
            used. Datasets that it does not have are split as without a fold.
    """

    index: NonNegativeInt
    count: Annotated[int, Field(ge=2)] | None = None
    published: Annotated[str, one_of(lambda: PUBLISHED_FOLDS, "a published split")] | None = None

    @model_validator(mode="after")
    def _within(self) -> "FoldParams":
        if (self.count is None) == (self.published is None):
            raise ValueError("either count or published is needed")
        if self.index >= (count := self.count or count_parts(self.published)):
            raise ValueError(f"index {self.index} is not below count {count}")
        return self


class IngestParams(Section):
    """Sources of the faces.

    Attributes:
        seed: seed of built-in datasets, and of the split of user datasets that define none.
        size: side of the images, pixels.
        faces: built-in dataset → number of faces.
        paths: user dataset → its files.
        fold: cross-validation fold of user datasets without a split (default: test on a quarter of
            the people).
        thin: skip frames of user datasets that have the same labels as the previous frame and
            differ from it by less than this, see `facsimile.datasets.Preprocessing`.
        align: user dataset with unaligned faces → source of their landmarks: ``columns`` of
            its table, ``dlib``, or a function that finds them, as ``package.module:function`` (see
            `facsimile.datasets.alignment`).
        on_error: whether an invalid face ends the stage or goes to a table of rejects.
        fingerprint: how changes of user files are detected: ``times`` hashes tables and label
            files and compares size and time of images and videos; ``full`` hashes all files.
    """

    seed: int
    size: PositiveInt
    faces: dict[DatasetName, PositiveInt] = Field(default_factory=dict)
    paths: dict[DatasetName, SourceParams] = Field(default_factory=dict)
    fold: FoldParams | None = None
    thin: Share = 0.0
    align: dict[str, LandmarkSource] = Field(default_factory=dict)
    on_error: Literal["raise", "skip"] = "raise"
    fingerprint: Literal["times", "full"] = "times"

    @model_validator(mode="after")
    def _one_source_each(self) -> "IngestParams":
        if twice := self.faces.keys() & self.paths.keys():
            raise ValueError(f"{min(twice)} is both under faces and under paths")
        if unknown := self.align.keys() - self.paths.keys():
            raise ValueError(f"{min(unknown)} is under align, but not under paths")
        if self.fold and not self.paths:
            raise ValueError("fold applies to datasets under paths, but there are none")
        return self
