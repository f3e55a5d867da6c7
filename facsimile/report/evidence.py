"""Read the outputs of stage evaluate for the report."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from facsimile.errors import FacsimileError
from facsimile.faces.arms import training_arms
from facsimile.faces.aus import AUS
from facsimile.faces.origins import REAL
from facsimile.faces.tables import read_table
from facsimile.report.gallery import GALLERY_SCHEMA

TABLES: dict[str, tuple[str, ...]] = {
    "au_counts": ("origin", "au", "active"),
    "detection": ("test_set", "arm", "seed", "au", "f1"),
    "au_pair_fpr": ("arm", "absent", "present", "fpr"),
    "correlations": ("panel", "au", "other", "r"),
    "edit_effects": ("edited_au", *AUS),
    "activity": ("au", "before", "after"),
    "editor": (),
    "gallery": tuple(GALLERY_SCHEMA.names),
}
"""Tables of stage evaluate, each ``<name>.parquet``, with the columns that the report reads.

- au_counts: ``active`` = number of training faces of an origin that show the AU.
- detection: F1 of one AU by one detector; the first test set is the one of the training domain.
- au_pair_fpr: rate of detecting ``absent`` where it is absent and ``present`` is present.
- correlations: Pearson r of two AUs; panels as in ``figures.PANELS``.
- edit_effects: mean change read in every AU, per unit of the edit of ``edited_au``.
- activity: mean intensity read in sampled faces, before and after neutralization.
- editor: what the editor reports about itself, one row per AU; each editor has its own columns.
- gallery: faces to show (see ``gallery.GALLERY_SCHEMA``).
"""


@dataclass(frozen=True)
class Evidence:
    """Metrics and tables of one evaluation. Only what was measured is present.

    Attributes:
        metrics: metrics.json (see ``facsimile.measurement``).
        tables: those of ``TABLES`` that exist and are not empty.
    """

    metrics: dict[str, Any]
    tables: dict[str, pd.DataFrame] = field(default_factory=dict)

    @classmethod
    def read(cls, directory: Path) -> "Evidence":
        """Read the output folder of stage evaluate.

        Raises:
            FacsimileError: metrics.json is missing or invalid, or a table lacks a column.
        """
        directory = Path(directory)
        try:
            metrics = json.loads((directory / "metrics.json").read_text())
        except (OSError, ValueError) as error:
            raise FacsimileError(f"{directory / 'metrics.json'}: not readable ({error})") from error
        tables = {}
        for name, columns in TABLES.items():
            path = directory / f"{name}.parquet"
            if path.exists():
                table = read_table(path, columns or None)
                if len(table):
                    tables[name] = table
        return cls(metrics, tables)

    def number(self, *keys: str) -> float | None:
        """A number in the metrics by its keys; None if it was not measured or is undefined."""
        value: Any = self.metrics
        for key in keys:
            value = value.get(key) if isinstance(value, dict) else None
        return float(value) if isinstance(value, (int, float)) else None

    @property
    def augmented(self) -> str | None:
        """The arm to compare with "real": real+generated, or else the last measured arm."""
        measured = self.metrics.get("f1", {})
        arms = [arm for arm in training_arms() if arm in measured and arm != REAL]
        return arms[-1] if arms else None

    @property
    def aus(self) -> tuple[str, ...]:
        """AUs that the training faces are annotated for. Only these are measured."""
        return tuple(self.metrics.get("aus", AUS))

    @property
    def home(self) -> pd.DataFrame | None:
        """Detection scores on the test set of the training domain."""
        detection = self.tables.get("detection")
        if detection is None:
            return None
        return detection[detection["test_set"] == detection["test_set"].iloc[0]]
