"""Check that the ingested datasets suffice for the later stages, before any of them runs."""

import sys
from collections.abc import Iterator
from pathlib import Path

from facsimile.errors import FacsimileError
from facsimile.faces.annotation import explain_unused_aus, learnable_aus
from facsimile.faces.aus import AUS
from facsimile.faces.readiness import (
    COLUMNS,
    attribute_shortages,
    au_shortages,
    holdout_shortages,
    select_split,
)
from facsimile.faces.tables import read_faces
from tasks.params import PARAMS, DatasetsParams, EditorParams, read_section
from tasks.shared.artefacts import INGEST


def report(ingested: Path) -> None:
    """Print one line per shortage, and per AU or test set that cannot be used.

    The ingested data is kept: it can still be inspected or used to train a generator.

    Args:
        ingested: folder of the ingested datasets.
    """
    datasets, project = _relevant_params()
    labels = select_split(read_faces(ingested / datasets.aus, COLUMNS), "train")[list(AUS)]
    aus = learnable_aus(labels)
    if aus and aus != AUS:
        unused = explain_unused_aus(labels, aus)
        print(f"{datasets.aus}: uses {', '.join(aus)}; skipped: {unused}", file=sys.stderr)
    for name in datasets.tests if aus else ():
        faces = read_faces(ingested / name, COLUMNS)
        if not faces[list(aus)].notna().any(axis=None):
            print(
                f"{name}: not annotated for any of {', '.join(aus)}, so it is not scored",
                file=sys.stderr,
            )
    for shortage in shortages(ingested, datasets, project):
        print(f"not enough data for the next stages: {shortage}", file=sys.stderr)


def require() -> None:
    """Raise FacsimileError for the first shortage of the ingested data."""
    for shortage in shortages(INGEST, *_relevant_params()):
        raise FacsimileError(shortage)


def _relevant_params() -> tuple[DatasetsParams, tuple[str, ...]]:
    """Roles of the datasets, and attributes that the editor needs."""
    datasets = read_section(PARAMS, "datasets", DatasetsParams)
    return datasets, read_section(PARAMS, "editor", EditorParams).options.attributes


def shortages(ingested: Path, datasets: DatasetsParams, project: tuple[str, ...]) -> Iterator[str]:
    """Shortages of the ingested data, one line each with dataset, split and remedy.

    Args:
        ingested: folder of the ingested datasets.
        datasets: role of each dataset.
        project: attributes for which the editor needs labels.
    """
    yield from au_shortages(datasets.aus, read_faces(ingested / datasets.aus, COLUMNS))
    attributes = read_faces(ingested / datasets.attributes, COLUMNS)
    yield from attribute_shortages(datasets.attributes, attributes, project)
    for name in datasets.tests:
        yield from holdout_shortages(name, read_faces(ingested / name, COLUMNS))
