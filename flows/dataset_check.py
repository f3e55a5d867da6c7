"""Checks a dataset as `ingest` and the later stages would, and writes nothing."""

import re
import sys
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import yaml
from pydantic import ValidationError

from facsimile.datasets import Pictures, Rejects, survey_pictures
from facsimile.errors import FacsimileError
from facsimile.faces.readiness import (
    COLUMNS,
    attribute_shortages,
    au_shortages,
    holdout_shortages,
)
from tasks.helpers.user_datasets import UserDataset, open_dataset, require_source
from tasks.params import PARAMS, DatasetsParams, IngestParams, read_params
from tasks.params.section import TOTALS, problems


@dataclass(frozen=True)
class DatasetCheck:
    """What `ingest` would make of a dataset, and what the later stages would lack.

    Attributes:
        name: of the dataset in params.yaml.
        adapter: key of `facsimile.datasets.ADAPTERS`.
        faces: valid annotations, see `facsimile.datasets.Adapter.open`.
        pictures: its pictures.
        rejects: faces that are not valid.
        notes: warnings of the adapter.
        train, edit, test: one line each for what the dataset lacks for stage `train`, as
            datasets.aus; for stage `edit`, as datasets.attributes; and as one of datasets.tests.
        ingest: section of params.yaml, with this dataset only.
        datasets: section of params.yaml.
    """

    name: str
    adapter: str
    faces: pd.DataFrame
    pictures: Pictures
    rejects: Rejects
    notes: list[str]
    train: list[str]
    edit: list[str]
    test: list[str]
    ingest: IngestParams
    datasets: DatasetsParams

    @property
    def blocked(self) -> bool:
        """Whether rejects would end `ingest`."""
        wrong = any(not violation.tolerated for violation in self.rejects.found)
        return wrong and self.ingest.on_error == "raise"

    @property
    def not_square(self) -> bool:
        """Whether pictures are rejected because they are neither square nor made so."""
        made_square = self.ingest.align or self.ingest.paths[self.name].crop
        return not made_square and any(width != height for width, height in self.pictures.sizes)

    @property
    def only_test(self) -> bool:
        """Whether the dataset is meant as a test set: all its faces are in that split."""
        return not self.test and set(self.faces["split"]) == {"test"}

    @property
    def usable(self) -> bool:
        """Whether the dataset can take one of the roles in section datasets."""
        return not self.blocked and (not self.train or not self.edit or self.only_test)

    @property
    def params(self) -> str:
        """The lines of params.yaml that make the pipeline read the dataset."""
        roles = self.datasets.model_dump(mode="json")
        if not self.train:
            roles["aus"] = self.name
        if not self.edit:
            roles["attributes"] = self.name
        if self.only_test:
            roles["tests"] = list(dict.fromkeys((*self.datasets.tests, self.name)))
        ingest = self.ingest.model_dump(
            mode="json", include={"on_error", "align", "paths"}, exclude_defaults=True
        )
        options = {
            key: value for key, value in ingest["paths"][self.name].items() if value is not None
        }
        ingest["paths"] = {self.name: options if len(options) > 1 else options["root"]}
        sections = ({"datasets": roles} if self.usable else {}) | {"ingest": ingest}
        return yaml.safe_dump(
            sections, sort_keys=False, default_flow_style=None, allow_unicode=True, width=1000
        )


def check_dataset(
    root: Path,
    path: Path,
    options: Mapping[str, Any],
    *,
    align: str = "",
    on_error: str = "",
    on_picture: Callable[[int, int], None] = lambda done, total: None,
) -> DatasetCheck:
    """Read the annotations of a dataset and look at its pictures.

    If params.yaml declares the dataset, its options there are the defaults.

    Args:
        root: project folder.
        path: file or folder.
        options: fields of `SourceParams` other than root.
        align: source of landmarks, as under ingest.align.
        on_error: as in section ingest.
        on_picture: called with the number of faces that are done and of all faces.

    Raises:
        FacsimileError: no adapter reads the files, an option is invalid, or the dataset as a whole
            is.
    """
    require_source(path)
    sections = read_params(root / PARAMS)
    editor, project = sections["editor"], sections["ingest"]
    name = _declared_name(root, path, project) or _new_name(path, project)
    declared = project.paths.get(name)
    # As params.yaml must name it: stages run in the project folder.
    path = path if root.resolve() == Path.cwd() else path.resolve()
    source = {"root": path} | (declared.model_dump(exclude={"root"}) if declared else {})
    align = align or project.align.get(name, "")
    ingest = _with_dataset(project, name, source | dict(options), align, on_error)
    sys.path.insert(0, str(root.resolve()))  # where a landmark function may be, as for `ingest`
    rejects = Rejects("skip")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        dataset = open_dataset(name, ingest, rejects)
    faces, pictures = _look(dataset, rejects, on_picture)
    rows = faces.reindex(columns=COLUMNS)
    return DatasetCheck(
        name,
        dataset.adapter,
        faces,
        pictures,
        rejects,
        [" ".join(str(warning.message).split()) for warning in caught],
        list(au_shortages(name, rows)),
        list(attribute_shortages(name, rows, editor.options.attributes)),
        list(holdout_shortages(name, rows)),
        ingest,
        sections["datasets"],
    )


def _look(
    dataset: UserDataset, rejects: Rejects, on_picture: Callable[[int, int], None]
) -> tuple[pd.DataFrame, Pictures]:
    done, total = 0, len(dataset.faces)

    def advance(count: int) -> None:
        nonlocal done
        done += count
        on_picture(done, total)

    return survey_pictures(dataset.reader, dataset.faces, dataset.preprocessing, rejects, advance)


def _with_dataset(
    project: IngestParams, name: str, source: Mapping[str, Any], align: str, on_error: str
) -> IngestParams:
    """Section ingest with one dataset and its options. Raises FacsimileError for invalid ones."""
    values = project.model_dump(exclude={"faces", "paths", "align"})
    values |= {"paths": {name: source}, "align": {name: align} if align else {}}
    if on_error:
        values["on_error"] = on_error
    try:
        return IngestParams.model_validate(values)
    except ValidationError as error:
        raise FacsimileError("; ".join(problems("ingest", error))) from error


def _declared_name(root: Path, path: Path, ingest: IngestParams) -> str | None:
    """Name of the dataset at `path` in params.yaml, if it is there."""
    same = (
        name
        for name, source in ingest.paths.items()
        if (root / source.root).resolve() == path.resolve()
    )
    return next(same, None)


def _new_name(path: Path, ingest: IngestParams) -> str:
    """A name for a dataset, after its file or folder."""
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", path.resolve().stem).strip("-._") or "faces"
    while name in {*TOTALS, *ingest.faces, *ingest.paths}:
        name = f"my-{name}"
    return name
