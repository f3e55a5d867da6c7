"""The person that each generated face was meant to show, as a code."""

import numpy as np
import pandas as pd

from facsimile.faces.origins import ORIGINS


def requested_codes(candidates: pd.DataFrame, source_z: pd.Series) -> np.ndarray:
    """Normalised codes (N, D) float32 of the person each candidate was meant to show.

    An edited or synthetic face should show the person of its neutral source. A transferred face
    mixes two people, so it is compared with the code it was decoded from.

    Args:
        candidates: N rows with source_id, origin and the code ``z`` that each was decoded from.
        source_z: sample_id → normalised code (D,) of every source.

    Raises:
        KeyError: a source without a code.
    """
    sources = source_z.loc[candidates["source_id"]].to_numpy()
    moved = [not ORIGINS[origin].keeps_identity for origin in candidates["origin"]]
    z = candidates["z"].where(moved, sources)
    return np.stack(z.to_numpy()).astype(np.float32)
