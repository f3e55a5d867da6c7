"""What a version of the dataset contains: rows by origin, AU and demographic group, and figures."""

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow.parquet as pq

from facsimile.faces.aus import ACTIVE_THRESHOLD, AUS
from facsimile.faces.demographics import CELL_NAMES, cell_names
from facsimile.faces.origins import ORIGINS, REAL
from facsimile.faces.tables import iter_table, shard_paths
from flows.outputs import headline, read_metrics
from tasks.params import PARAMS, read_params
from tasks.shared.artefacts import FILTER, INGEST

FACES, AU, GROUP = "faces", "AU", "group"

_BATCH = 65_536  # rows of labels in memory at once


@dataclass(frozen=True)
class Contents:
    """Row counts and headline figures of a version, in the types of JSON.

    Attributes:
        rows: origin → kind → name → number of faces. Real faces are those of the dataset annotated
            for AUs, generated faces are the accepted ones. Kind FACES has one name, the origin;
            kind AU counts faces on which the AU is active, kind GROUP gender × age groups.
        datasets: name of each ingested dataset → number of faces.
        figures: headline figures of the evaluation by dotted name.
    """

    rows: dict[str, dict[str, dict[str, int]]] = field(default_factory=dict)
    datasets: dict[str, int] = field(default_factory=dict)
    figures: dict[str, float] = field(default_factory=dict)

    def faces(self, origin: str) -> int:
        """Number of faces of an origin."""
        return self.rows.get(origin, {}).get(FACES, {}).get(origin, 0)

    @property
    def generated(self) -> dict[str, int]:
        """Number of accepted faces of each generated origin."""
        return {origin: self.faces(origin) for origin in self.rows if origin != REAL}

    def summary(self) -> str:
        """The number of faces, in one line."""
        generated = self.generated
        parts = ", ".join(f"{count:,} {origin}" for origin, count in generated.items())
        parts = f" ({parts})" if parts else ""
        return f"{self.faces(REAL):,} real and {sum(generated.values()):,} generated faces{parts}"


def read_contents(root: Path) -> Contents:
    """Contents of the data in a project folder; tables that do not exist count as empty.

    Raises:
        FacsimileError: params.yaml is invalid, or a table is unreadable.
    """
    datasets = read_params(root / PARAMS)["datasets"]
    rows: dict[str, dict[str, dict[str, int]]] = {}
    for table in (root / INGEST / datasets.aus, root / FILTER / "faces"):
        if table.exists():
            rows |= _count_rows(table)
    ingested = {name: root / INGEST / name for name in datasets.all}
    return Contents(
        {origin: rows[origin] for origin in ORIGINS if origin in rows},
        {name: _length(path) for name, path in ingested.items() if path.exists()},
        headline(read_metrics(root, "evaluate")),
    )


def _count_rows(table: Path) -> dict[str, dict[str, dict[str, int]]]:
    """Counts of a face table, as in `Contents.rows`. Streams its labels, but no images."""
    counts: Counter[tuple[str, str, str]] = Counter()
    for batch in iter_table(table, _BATCH, ["origin", "male", "age", *AUS]):
        for origin, faces in batch.groupby("origin"):
            counts[origin, FACES, origin] += len(faces)
            active = (faces[list(AUS)].astype(float) >= ACTIVE_THRESHOLD).sum()
            counts.update({(origin, AU, au): int(count) for au, count in active.items()})
            groups = Counter(cell_names(faces["male"], faces["age"]).tolist())
            counts.update({(origin, GROUP, group): count for group, count in groups.items()})
    order = {name: position for position, name in enumerate((*AUS, *CELL_NAMES))}
    rows: dict[str, dict[str, dict[str, int]]] = {}
    for origin, kind, name in sorted(counts, key=lambda key: order.get(key[2], -1)):
        rows.setdefault(origin, {}).setdefault(kind, {})[name] = counts[origin, kind, name]
    return rows


def _length(table: Path) -> int:
    return sum(pq.read_metadata(shard).num_rows for shard in shard_paths(table))
