"""Editing neutral faces: ``z ← z + s·w_k``, decoded with the face's own x_T.

Source: "Controlled Face Manipulation and Synthesis for Data Augmentation", III-A. Several AUs at
once are the sum of their edits. The label of an edited AU is s and that of the others 0, but null
where nobody knows: of AUs which an edited one entails by the declared causal graph (a dropping jaw
parts the lips).
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from facsimile.editing.directions import Directions
from facsimile.errors import FacsimileError
from facsimile.faces.aus import AUS, NUISANCES
from facsimile.faces.origins import EDITED
from facsimile.faces.tables import image_structs, to_uint8
from facsimile.generator import Codes, Generator

# What an edited row inherits from the face it was made of.
INHERITED = ("dataset", "subject_id", "split", *NUISANCES)
PLANNED = ("source_id", "edited_au", "intensity", "seed")


def edit(
    z: Tensor, directions: Directions, intensities: Mapping[str, float | np.ndarray]
) -> Tensor:
    """Add ``Σ_k s_k w_k`` to normalised codes.

    Args:
        z: (N, D).
        directions: calibrated directions; s = 1 is FACS level E above the face's own level.
        intensities: AU → s_k, one number or one for each face (N,).

    Returns:
        (N, D) on the device of z.
    """
    for au, intensity in intensities.items():
        w = torch.from_numpy(directions.vector(au)).to(z)
        s = torch.as_tensor(intensity, dtype=z.dtype, device=z.device).reshape(-1, 1)
        z = z + s * w
    return z


class EditOperator:
    """Maps planned edits to edited faces.

    Args:
        generator: loaded generator.
        directions: Parquet file, or loaded directions.
        editor_md5: lineage written to every row.
    """

    def __init__(
        self,
        generator: Generator,
        directions: str | Path | Directions,
        *,
        editor_md5: str | None = None,
    ) -> None:
        self.generator = generator
        self.directions = (
            Directions.load(directions) if isinstance(directions, (str, Path)) else directions
        )
        z_dim, expected = self.directions.vectors.shape[1], generator.z_dim
        if z_dim != expected:
            raise FacsimileError(
                f"directions have {z_dim} dimensions, the generator's codes {expected}; "
                "fit directions on codes of this generator"
            )
        self.lineage = {
            "generator_md5": generator.digest,
            "editor": "linear",
            "editor_md5": editor_md5,
        }

    def __call__(self, batch: pd.DataFrame) -> pd.DataFrame:
        """Edited rows with the columns of ``GENERATED_SCHEMA``.

        Args:
            batch: rows of `plan_edits` with the codes of the source, ``z`` and ``x_t``.
        """
        return self.decode(batch, Codes.from_table(batch), origin=EDITED)

    def decode(self, batch: pd.DataFrame, codes: Codes, origin: str) -> pd.DataFrame:
        """Edit and decode planned rows, given the codes of their sources."""
        labels = {name: batch[name].to_numpy(np.float32, copy=True) for name in AUS}
        edits = {name: s for name, s in labels.items() if s.any()}
        codes = codes.to(self.generator.device)
        codes = codes.replace_z(edit(codes.z, self.directions, edits))
        for name, s in edits.items():
            for au in self.directions.entails(name):
                labels[au] = np.where(s > 0, np.float32(np.nan), labels[au])
        images = to_uint8(self.generator.decode(codes))

        ids = batch["sample_id"].to_list()
        return pd.DataFrame(
            {
                "sample_id": ids,
                **{name: batch[name].to_numpy() for name in INHERITED},
                "image": image_structs(images, ids),
                **labels,
                "au_presence_only": False,
                "origin": origin,
                **{name: batch[name].to_numpy() for name in PLANNED},
                **self.lineage,
                "z": codes.to_columns()["z"],
            }
        )
