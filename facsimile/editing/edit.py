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
from facsimile.faces.tables import image_structs, to_uint8
from facsimile.generator.pipeline import DiffAEPipeline

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
    """Maps planned edits to edited faces; loads its models once.

    Args:
        generator: folder of a saved generator, or a loaded pipeline.
        directions: Parquet file, or loaded directions.
        steps: decoding steps; those the faces' x_T were inverted with.
        generator_md5, directions_md5: lineage written to every row.
        device: where a generator given as a folder is loaded.
    """

    def __init__(
        self,
        generator: str | Path | DiffAEPipeline,
        directions: str | Path | Directions,
        *,
        steps: int,
        generator_md5: str | None = None,
        directions_md5: str | None = None,
        device: str = "cpu",
    ) -> None:
        self.pipeline = load_pipeline(generator, device)
        self.directions = (
            Directions.load(directions) if isinstance(directions, (str, Path)) else directions
        )
        z_dim, expected = self.directions.vectors.shape[1], self.pipeline.z_dim
        if z_dim != expected:
            raise FacsimileError(
                f"directions have {z_dim} dimensions, the generator's codes {expected}; "
                "fit directions on codes of this generator"
            )
        self.steps = steps
        self.lineage = {"generator_md5": generator_md5, "directions_md5": directions_md5}

    def __call__(self, batch: pd.DataFrame) -> pd.DataFrame:
        """Edited rows with the columns of ``GENERATED_SCHEMA``.

        Args:
            batch: rows of `plan_edits` with the source's raw ``z_sem`` (D,) and flattened ``x_t``.
        """
        missing = batch["x_t"].isna()
        if missing.any():
            raise FacsimileError(
                f"{batch.loc[missing, 'source_id'].iloc[0]}: has no x_T; invert it before editing"
            )
        size = self.pipeline.image_size
        x_t = torch.from_numpy(np.stack(batch["x_t"]).astype(np.float32)).reshape(-1, 3, size, size)
        return self.decode(batch, x_t, origin="edited")

    def decode(self, batch: pd.DataFrame, x_t: Tensor, origin: str) -> pd.DataFrame:
        """Edit and decode rows whose x_T is at hand, (N, 3, H, W)."""
        labels = {name: batch[name].to_numpy(np.float32, copy=True) for name in AUS}
        edits = {name: s for name, s in labels.items() if s.any()}
        z = self.pipeline.normalize(codes(batch["z_sem"]))
        z_sem = self.pipeline.denormalize(edit(z, self.directions, edits))
        for name, s in edits.items():
            for au in self.directions.entails(name):
                labels[au] = np.where(s > 0, np.float32(np.nan), labels[au])
        images = to_uint8(self.pipeline.decode(z_sem, x_t.to(z_sem), self.steps))

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
                "z_sem": list(z_sem.cpu().numpy()),
            }
        )


def load_pipeline(generator: str | Path | DiffAEPipeline, device: str) -> DiffAEPipeline:
    """The pipeline itself, or the one saved in a folder."""
    if isinstance(generator, (str, Path)):
        return DiffAEPipeline.from_pretrained(generator, device=device)
    return generator


def codes(column: pd.Series) -> Tensor:
    """A list column of N codes as a float32 tensor (N, D)."""
    return torch.from_numpy(np.stack(column.to_numpy()).astype(np.float32))
