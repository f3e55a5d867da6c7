"""Apply models to the images of a face table, of which only a batch is decoded at a time."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

from facsimile.detection.detector import EVAL_BATCH
from facsimile.faces.picture_store import iter_images


def read_images(
    model: Callable[[np.ndarray], tuple[np.ndarray, ...]],
    faces: pd.DataFrame,
    column: str = "image",
) -> list[np.ndarray]:
    """What a model reads from faces of one table, in their order.

    Args:
        model: images uint8 (B, H, W, 3) → arrays (B, …).
        faces: N rows, at least one, with sample_id and ``table`` (see `read_located`).
        column: the column of images.

    Returns:
        Arrays (N, …), as many as the model returns.
    """
    (table,) = faces["table"].unique()
    places, parts = {}, []
    for ids, images in iter_images(Path(table), faces["sample_id"], EVAL_BATCH, column):
        places |= {name: len(places) + row for row, name in enumerate(ids)}
        parts.append(model(images))
    order = [places[name] for name in faces["sample_id"]]
    return [np.concatenate(arrays)[order] for arrays in zip(*parts, strict=True)]
