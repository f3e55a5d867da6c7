"""When two faces are different people."""

import json

from tasks.shared.artefacts import ORACLE


def identity_threshold() -> float:
    """Cosine distance of the oracle's embeddings above which two faces are different people."""
    return json.loads((ORACLE / "metrics.json").read_text())["identity"]["threshold"]
