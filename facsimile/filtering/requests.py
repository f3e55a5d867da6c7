"""The person that each generated face should show, as a code."""

import numpy as np
import pandas as pd

from facsimile.faces.origins import ORIGINS


def requested_codes(candidates: pd.DataFrame, source_z: pd.Series) -> np.ndarray:
    """Normalised codes (N, D) float32 of the person that each candidate should show.

    An edited or synthetic face should show the person of its neutral source. A transferred face
    mixes two people, so it is compared with the code that it was decoded from.

    Args:
        candidates: N rows with source_id, origin and ``z``, the code that was decoded.
        source_z: sample_id → normalised code (D,) of every source.

    Raises:
        KeyError: a source has no code.
    """
    sources = source_z.loc[candidates["source_id"]].to_numpy()
    mixes_people = [not ORIGINS[origin].keeps_identity for origin in candidates["origin"]]
    z = candidates["z"].where(mixes_people, sources)
    return np.stack(z.to_numpy()).astype(np.float32)
