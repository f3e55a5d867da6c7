"""Whether a dataset is rendered, so that further people and exact targets can be rendered, too."""

from facsimile.world import SETS
from tasks.params import IngestParams


def is_rendered(dataset: str, ingest: IngestParams) -> bool:
    """Whether `ingest` renders a dataset; otherwise it reads files, whatever their name."""
    return dataset in SETS and dataset not in ingest.paths
