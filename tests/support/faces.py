"""Face tables and the filter's decisions about them."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from facsimile.faces.aus import AUS
from facsimile.faces.tables import image_structs
from facsimile.rejection_reasons import REASONS


def noise_images(count: int, size: int, seed: int = 0) -> np.ndarray:
    """uint8 (count, size, size, 3), each pixel drawn on its own."""
    return np.random.default_rng(seed).integers(0, 256, (count, size, size, 3), np.uint8)


def face_table(
    ids: Sequence[str],
    *,
    images: np.ndarray | None = None,
    aus: float = 0.0,
    **columns: object,
) -> pd.DataFrame:
    """Real training faces of the dataset ``mine``, as `FACE_SCHEMA` has them.

    Args:
        ids: sample ids; what is before the last slash is the subject id.
        images: uint8 (N, H, W, 3); 8 px of noise if None.
        aus: value of all AUs; NaN for faces that are not annotated.
        columns: further columns, or other values of these.
    """
    images = noise_images(len(ids), 8) if images is None else images
    table = {"sample_id": list(ids), "dataset": "mine"}
    table |= {"subject_id": [name.rpartition("/")[0] for name in ids], "split": "train"}
    table |= {"image": image_structs(images, ids)} | dict.fromkeys(AUS, aus)
    table |= {"au_presence_only": False, "origin": "real"}
    return pd.DataFrame(table | columns)


def decide(candidates: pd.DataFrame, reasons: Sequence[str | None], **scores: object):
    """The filter's decisions about faces; None where a face is accepted.

    Args:
        candidates: rows with sample_id and, where there are any, origin and edited_au.
        reasons: of `REASONS`.
        scores: columns such as ``jaccard`` and ``duplicate_of``.
    """
    assert set(reasons) <= {None, *REASONS}, f"the filter has no such reason: {reasons}"
    kept = candidates.reindex(columns=["sample_id", "origin", "edited_au"])
    accepted = [reason is None for reason in reasons]
    return kept.assign(**scores, accepted=accepted, reason=list(reasons)).reset_index(drop=True)
