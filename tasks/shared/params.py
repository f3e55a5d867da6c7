"""params.yaml as types: an unknown, mistyped or impossible key is an error that names it.

Every section is one model. A stage declares the sections it reads as parameters of its ``run``
(see stage.py), and dvc.yaml declares the same ones, so that a change of any re-runs the stage.
Batch size, workers and device change how fast a result is made, not which: they are options of the
command line, not params.
"""

import re
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    ValidationError,
    model_validator,
)

from facsimile.errors import FacsimileError
from facsimile.faces.arms import ARMS
from facsimile.faces.aus import AUS, NUISANCES

PARAMS = Path("params.yaml")

LANDMARK_COLUMNS = "columns"

Share = Annotated[float, Field(ge=0, le=1)]

Arm = Literal[tuple(ARMS)]


def _action_units(names: tuple[str, ...]) -> tuple[str, ...]:
    for name in names:
        if name not in AUS:
            raise ValueError(f"{name!r} is no Action Unit, allowed: {', '.join(AUS)}")
    if not names or len(set(names)) < len(names):
        raise ValueError("needs at least one Action Unit, each once")
    return names


def _intensity(value: float | tuple[float, float]) -> float | tuple[float, float]:
    low, high = value if isinstance(value, tuple) else (value, value)
    if not 0 < low <= high <= 1:
        raise ValueError(f"{value} is not within 0 < low ≤ high ≤ 1")
    return value


def _dataset_name(name: str) -> str:
    """Datasets become folders: a name that leads elsewhere would be written outside of data/."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name):
        raise ValueError(
            f"{name!r} is no name of a dataset: it takes letters, digits, '.', '_' and '-', "
            "and begins with a letter or digit"
        )
    return name


DatasetName = Annotated[str, AfterValidator(_dataset_name)]
ActionUnits = Annotated[tuple[str, ...], AfterValidator(_action_units)]
Intensity = Annotated[float | tuple[float, float], AfterValidator(_intensity)]


class Section(BaseModel):
    """A part of params.yaml in which an unknown key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)


Model = TypeVar("Model", bound=Section)


class Datasets(Section):
    """What each dataset is for.

    Attributes:
        aus: annotated for AUs; fits directions, is edited, trains and tests detectors.
        attributes: annotated for eyeglasses, beard, gender and age.
        tests: further test sets, never trained on.
    """

    aus: DatasetName
    attributes: DatasetName
    tests: tuple[DatasetName, ...] = ()

    @property
    def all(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys((self.aus, self.attributes, *self.tests)))


class Source(Section):
    """Files of a dataset of your own. A path alone stands for its `root`.

    Attributes:
        root: file or folder.
        adapter: key of `facsimile.datasets.ADAPTERS`; recognised where it is not given.
        crop: take the largest centred square of images that are not square; refused where it is
            not given.
        first_frame: of DISFA, number of the first frame of people whose folders do not show it.
        scale: of the AUs of a table, see `facsimile.datasets.labels`. Where it is not given, 0-5
            for columns of OpenFace such as ``AU01_r``, else 0-1.
    """

    root: Path
    adapter: (
        Literal["table", "disfa", "disfa-plus", "bp4d", "celeba", "ffhq", "parquet", "feafa"] | None
    ) = None
    crop: Literal["center"] | None = None
    first_frame: Literal[0, 1] | None = None
    scale: Literal["0-1", "0-5", "0-100", "percent"] | None = None

    @model_validator(mode="before")
    @classmethod
    def _path_alone(cls, value: Any) -> Any:
        return value if isinstance(value, (dict, Source)) else {"root": value}


class Fold(Section):
    """One of `count` parts of the people, the `index`-th from 0, is the test set."""

    count: Annotated[int, Field(ge=2)]
    index: NonNegativeInt

    @model_validator(mode="after")
    def _within(self) -> "Fold":
        if self.index >= self.count:
            raise ValueError(f"index {self.index} is not below count {self.count}")
        return self


class Ingest(Section):
    """Where faces come from.

    Attributes:
        seed: of datasets that are drawn, and of splits that a dataset of your own does not have.
        size: side of the images, pixels.
        faces: built-in dataset → number of faces.
        paths: dataset of your own → its files.
        fold: test people of datasets of your own that have no split; a quarter of them where it is
            not given.
        thin: leave out frames of your own that follow one with the same labels and differ from it
            by less than this, see `facsimile.datasets.Intake`.
        align: dataset of your own whose faces are not aligned → where their landmarks come from:
            ``columns`` of its table, or a function that finds them, as ``package.module:function``
            (see `facsimile.datasets.alignment`).
        on_error: what a face does that is wrong: end the stage, or go to a table of rejects.
        fingerprint: how files of your own are watched for changes: tables and label files by their
            contents, pictures and videos by size and time of change; or ``full``, all by contents.
    """

    seed: int
    size: PositiveInt
    faces: dict[DatasetName, PositiveInt] = {}
    paths: dict[DatasetName, Source] = {}
    fold: Fold | None = None
    thin: Share = 0.0
    align: dict[str, Annotated[str, Field(pattern=rf"^({LANDMARK_COLUMNS}|[\w.]+:\w+)$")]] = {}
    on_error: Literal["raise", "skip"] = "raise"
    fingerprint: Literal["times", "full"] = "times"

    @model_validator(mode="after")
    def _one_source_each(self) -> "Ingest":
        if twice := self.faces.keys() & self.paths.keys():
            raise ValueError(f"{min(twice)} is both under faces and under paths")
        if unknown := self.align.keys() - self.paths.keys():
            raise ValueError(f"{min(unknown)} is under align, but not under paths")
        if self.fold and not self.paths:
            raise ValueError("fold is of datasets under paths, and there is none")
        return self


class Sampling(Section):
    """How faces are inverted and decoded, and DDIM steps of the latent prior.

    `steps` and `solver` hold for both, since they must agree; "dpm++" needs fewer steps than
    "ddim", 10 for instance. `dtype` is that of the networks.
    """

    steps: Annotated[int, Field(ge=2, le=1000)]
    prior_steps: Annotated[int, Field(ge=2, le=1000)]
    solver: Literal["ddim", "dpm++"] = "ddim"
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"


class Encode(Section):
    """How many neutral faces of each person get an x_T, by split; only these can be edited."""

    neutral_per_subject: dict[Literal["train", "val", "test"], NonNegativeInt]


class Calibration(Section):
    """See `facsimile.editing.calibration`: of the reader, and of the faces it looks at.

    `faces` neutral faces of the validation split, edited by each AU at each scale.
    """

    faces: PositiveInt
    scales: tuple[PositiveFloat, ...] = Field(min_length=1)
    epochs: PositiveInt


class Directions(Section):
    """See `facsimile.editing.fit_directions`."""

    method: Literal["ridge", "svm", "combined"]
    alpha: PositiveFloat
    condition: bool
    within_subject: bool
    project: tuple[Literal[NUISANCES], ...]
    calibration: Calibration
    seed: int


class Neutralizer(Section):
    """See `facsimile.editing.train_neutralizer`."""

    width: PositiveInt
    dropout: Annotated[float, Field(ge=0, lt=1)]
    lr: PositiveFloat
    batch_size: PositiveInt
    patience: PositiveInt
    max_epochs: PositiveInt
    seed: int


class Neutral(Section):
    """Neutral faces of the attribute set: at most `faces`, and `per_subject` of each person."""

    faces: NonNegativeInt
    per_subject: PositiveInt


class Variants(Section):
    """How many faces are made of one; see `facsimile.editing.plan_edits`."""

    single: NonNegativeInt | None
    mixed: NonNegativeInt


class Edit(Section):
    """What is activated on neutral faces: on annotated ones, which show every AU alone and `mixed`
    times several, and on those of `Neutral`, of more people, which show less each.

    Those of `aus` that the training faces are not annotated for have no direction, and are left
    out."""

    aus: ActionUnits
    intensity: Intensity
    mixed: NonNegativeInt
    unannotated: Variants
    seed: int

    def variants(self, annotated: bool) -> dict[str, Any]:
        """Arguments of `facsimile.editing.plan_edits`."""
        shared = self.model_dump(include={"aus", "intensity", "seed"})
        return shared | ({"mixed": self.mixed} if annotated else self.unannotated.model_dump())


class Synthesize(Variants):
    """New identities per gender × age group, and what is activated on them; `aus` as in `Edit`."""

    per_cell: PositiveInt
    max_draws: PositiveInt
    aus: ActionUnits
    intensity: Intensity
    seed: int

    def variants(self) -> dict[str, Any]:
        """Arguments of `facsimile.editing.plan_synthesis`."""
        return self.model_dump(include={"aus", "intensity", "single", "mixed"})


class Transfer(Section):
    """See `facsimile.editing.plan_transfers`; at most `faces` are made. `strength` 1 is all the way
    to the other person; a single number is that strength for all."""

    faces: NonNegativeInt
    per_face: PositiveInt
    strength: Intensity
    seed: int

    def variants(self) -> dict[str, Any]:
        """Arguments of `facsimile.editing.plan_transfers`."""
        return self.model_dump(include={"per_face", "strength", "seed"}) | {"count": self.faces}


class Filter(Section):
    """See `facsimile.filtering.FilterLimits`; `reference_faces` of the attribute set join the
    annotated ones as examples of real faces."""

    min_jaccard: Share
    realism_quantile: Share
    mahalanobis_quantile: Share
    duplicate_rms: Share
    balance_slack: Annotated[float, Field(ge=1)]
    reference_faces: NonNegativeInt
    seed: int


class Train(Section):
    """Arms × seeds of detectors; see `facsimile.detection.train_detector`."""

    arms: Annotated[tuple[Arm, ...], Field(min_length=1)]
    seeds: Annotated[tuple[int, ...], Field(min_length=1)]
    lr: PositiveFloat
    batch_size: Annotated[int, Field(ge=2)]
    epoch_faces: PositiveInt
    epochs: PositiveInt


class Evaluate(Section):
    """How much of what was generated is shown.

    Attributes:
        people: rows of the sheet of edited faces.
        intensities: of the edits on that sheet.
        seed: of the bootstrap.
    """

    people: PositiveInt
    intensities: Annotated[tuple[Share, ...], Field(min_length=1)]
    seed: int


SECTIONS: dict[str, type[Section] | None] = {
    "datasets": Datasets,
    "sampling": Sampling,
    "ingest": Ingest,
    "encode": Encode,
    "directions": Directions,
    "neutralizer": Neutralizer,
    "neutral": Neutral,
    "edit": Edit,
    "synthesize": Synthesize,
    "transfer": Transfer,
    "filter": Filter,
    "train": Train,
    "evaluate": Evaluate,
    # Frozen stages check their own section when they are run.
    "generator": None,
    "oracle": None,
}


def read_params(path: Path = PARAMS) -> dict[str, Section]:
    """All sections of a params file, checked.

    Raises:
        FacsimileError: an unreadable file, or keys that are unknown, absent or out of range, each
            of them named.
    """
    values = _read_yaml(path)
    problems = [f"unknown section {name!r}" for name in values if name not in SECTIONS]
    sections = {}
    for name, model in SECTIONS.items():
        if model is None:
            continue
        try:
            sections[name] = model.model_validate(values.get(name) or {})
        except ValidationError as error:
            problems += [_problem(name, detail) for detail in error.errors()]
    if not problems:
        problems = _unknown_datasets(sections["datasets"], sections["ingest"])
        problems += _nothing_to_edit(sections["encode"], sections["neutral"])
    if problems:
        raise FacsimileError(f"{path}: {'; '.join(problems)}")
    return sections


def read_section(path: Path, name: str, model: type[Model]) -> Model:
    """One section of a params file, checked; its errors are those of `read_params`."""
    try:
        return model.model_validate(_read_yaml(path).get(name) or {})
    except ValidationError as error:
        problems = [_problem(name, detail) for detail in error.errors()]
        raise FacsimileError(f"{path}: {'; '.join(problems)}") from error


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        values = yaml.safe_load(path.read_text()) or {}
    except (OSError, yaml.YAMLError) as error:
        raise FacsimileError(f"{path}: not a readable YAML file ({error})") from error
    if not isinstance(values, dict):
        raise FacsimileError(f"{path}: not a mapping of sections")
    return values


def _problem(section: str, detail: dict[str, Any]) -> str:
    """``edit.intensity: 1.4 is not within 0 < low ≤ high ≤ 1``."""
    # Pydantic adds the branch of a union it tried to the path of the key.
    keys = [str(key) for key in detail["loc"] if "[" not in str(key) and key != "float"]
    where = ".".join([section, *keys])
    if detail["type"] == "extra_forbidden":
        return f"{where}: unknown key"
    if detail["type"] == "missing":
        return f"{where}: missing"
    message = detail["msg"].removeprefix("Value error, ")
    message = message[0].lower() + message[1:]
    if detail["type"] == "value_error":
        return f"{where}: {message}"
    return f"{where}: {message}, found {detail['input']!r}"


def _unknown_datasets(datasets: Datasets, ingest: Ingest) -> list[str]:
    declared = ingest.faces.keys() | ingest.paths.keys()
    return [
        f"datasets: {name!r} is neither under ingest.faces nor under ingest.paths"
        for name in datasets.all
        if name not in declared
    ]


def _nothing_to_edit(encode: Encode, neutral: Neutral) -> list[str]:
    if encode.neutral_per_subject.get("train") or neutral.faces:
        return []
    return [
        "encode.neutral_per_subject.train and neutral.faces are both 0: there is nothing to edit"
    ]
