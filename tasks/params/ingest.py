"""Section `ingest`: where faces come from."""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, NonNegativeInt, PositiveInt, model_validator

from facsimile.adapter_modules import ADAPTER_MODULES
from tasks.params.section import DatasetName, Section, Share, one_of

LANDMARK_COLUMNS = "columns"

LandmarkSource = Annotated[str, Field(pattern=rf"^({LANDMARK_COLUMNS}|[\w.]+:\w+)$")]
AdapterName = Annotated[str, one_of(lambda: ADAPTER_MODULES, "an adapter")]


class SourceParams(Section):
    """Files of a dataset of your own. A plain path is its `root`.

    Attributes:
        root: file or folder.
        adapter: key of `facsimile.datasets.ADAPTERS` (default: recognised from the files).
        crop: take the largest centred square of images that are not square (default: refuse them).
        first_frame: number of the first frame of people whose DISFA folders do not show it.
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
    """Cross-validation: part `index` (from 0) of `count` parts of the people is the test set."""

    count: Annotated[int, Field(ge=2)]
    index: NonNegativeInt

    @model_validator(mode="after")
    def _within(self) -> "FoldParams":
        if self.index >= self.count:
            raise ValueError(f"index {self.index} is not below count {self.count}")
        return self


class IngestParams(Section):
    """Where faces come from.

    Attributes:
        seed: of built-in datasets, and of the split of datasets of your own that have none.
        size: side of the images, pixels.
        faces: built-in dataset → number of faces.
        paths: dataset of your own → its files.
        fold: test people of datasets of your own that have no split (default: a quarter of them).
        thin: skip frames of your own that have the labels of the frame before and differ from it by
            less than this, see `facsimile.datasets.Preprocessing`.
        align: dataset of your own with unaligned faces → source of their landmarks: ``columns`` of
            its table, or a function that finds them, as ``package.module:function`` (see
            `facsimile.datasets.alignment`).
        on_error: whether a bad face ends the stage or goes to a table of rejects.
        fingerprint: how changes of files of your own are noticed: ``times`` hashes tables and label
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
            raise ValueError("fold is of datasets under paths, and there is none")
        return self
