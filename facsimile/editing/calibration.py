"""What directions do to images, read by encoding the edited faces again.

Directions are calibrated on codes: ``z + w`` reads one unit higher than z. The decoder need not
follow a code to the letter, least of all along a direction that real faces do not vary in. Encoded
again, ``enc(dec(z + w, x_T))`` shows what arrived in the image, by the same readouts whose reading
follows the labels of real encoded images one to one (`linear.fit_readouts`).
"""

import warnings
from dataclasses import replace

import numpy as np
import pandas as pd
import torch

from facsimile.editing.directions import Directions
from facsimile.editing.edit import codes, edit
from facsimile.generator.pipeline import DiffAEPipeline

# Beyond these the decoder does not follow the direction at all, and no length of it would help.
RISE_RANGE = (0.25, 4.0)


def image_leakage(
    directions: Directions, pipeline: DiffAEPipeline, faces: pd.DataFrame, steps: int
) -> pd.DataFrame:
    """Mean rise of every reading when each AU is edited by 1 and the image encoded again.

    Args:
        directions: to be measured.
        pipeline: generator that decodes and encodes.
        faces: a batch of neutral faces with raw ``z_sem`` (D,) and flattened ``x_t``.
        steps: decoding steps.

    Returns:
        One row for each AU edited, one column for each direction, as `Directions.leakage`.
    """
    size = pipeline.image_size
    z = pipeline.normalize(codes(faces["z_sem"]))
    x_t = codes(faces["x_t"]).reshape(-1, 3, size, size).to(z)

    def reading(code: torch.Tensor) -> np.ndarray:
        image = pipeline.decode(pipeline.denormalize(code), x_t, steps).clamp(-1, 1)
        encoded = pipeline.normalize(pipeline.encode(image)).cpu().numpy()
        return directions.read(encoded).mean(axis=0).to_numpy()

    unedited = reading(z)
    rises = [reading(edit(z, directions, {au: 1.0})) - unedited for au in directions.aus]
    return pd.DataFrame(rises, index=list(directions.aus), columns=list(directions.names))


def calibrate_on_images(directions: Directions, leakage: pd.DataFrame) -> Directions:
    """Rescale AU directions so that s = 1 raises the AU of the *image* by 1.

    A direction that images hardly follow, or follow the wrong way, keeps its length, with a
    warning: no length would give the intended edit.

    Args:
        directions: those that were measured.
        leakage: result of `image_leakage`.
    """
    table = directions.table.copy()
    for index, name in enumerate(table["name"]):
        if name not in directions.aus:
            continue
        rise = leakage.loc[name, name]
        table.at[index, "image_rise"] = rise
        if not RISE_RANGE[0] <= rise <= RISE_RANGE[1]:
            warnings.warn(
                f"{name}: an edit by 1 moves decoded images by {rise:.2f}; the generator does not "
                "follow this direction",
                stacklevel=2,
            )
            continue
        table.at[index, "vector"] = (table.at[index, "vector"] / rise).astype(np.float32)
        table.at[index, "length"] /= rise
    return replace(directions, table=table)
