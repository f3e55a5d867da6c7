"""Editing neutral faces: ``z ← z + s·w_k``, decoded with the face's own x_T.

Source: "Controlled Face Manipulation and Synthesis for Data Augmentation", III-A and IV-A: every
neutral face gives twelve variants with exactly one active AU. Its label is s and those of the other
AUs are 0, except that AUs which the edited one entails by the declared causal graph (a dropping jaw
parts the lips) are null: they move too, by an amount nobody labelled.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from facsimile.aus import ACTIVE_THRESHOLD, AUS, NUISANCES
from facsimile.editing.directions import Directions
from facsimile.errors import FacsimileError
from facsimile.generator.pipeline import DiffAEPipeline
from facsimile.seeding import sample_rng
from facsimile.tables import image_structs, to_uint8

Intensity = float | tuple[float, float]

# What an edited row inherits from the face it was made of.
INHERITED = ("dataset", "subject_id", "split", *NUISANCES)


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


def neutral_faces(faces: pd.DataFrame, per_subject: int | None) -> pd.DataFrame:
    """Faces annotated for all twelve AUs with none active.

    Args:
        faces: face rows.
        per_subject: at most so many of each subject, spaced evenly over its neutral faces in the
            order of their ids; None keeps all.

    Raises:
        FacsimileError: there is no neutral face.
    """
    neutral = faces[(faces[list(AUS)] < ACTIVE_THRESHOLD).all(axis=1)]  # NaN compares false
    if neutral.empty:
        raise FacsimileError(
            f"none of {len(faces)} faces is annotated for all AUs with every one below "
            f"{ACTIVE_THRESHOLD}: there is nothing to edit"
        )
    if per_subject is None:
        return neutral
    kept = []
    for _, own in neutral.sort_values("sample_id").groupby("subject_id", sort=True):
        count = min(per_subject, len(own))
        # Midpoints of `count` equal stretches, so that first and last frames are not favoured.
        kept.append(own.iloc[((np.arange(count) + 0.5) * len(own) / count).astype(int)])
    return pd.concat(kept)


def plan_edits(
    faces: pd.DataFrame,
    *,
    per_subject: int | None,
    intensity: Intensity,
    seed: int,
    aus: tuple[str, ...] = AUS,
) -> pd.DataFrame:
    """One row for each neutral face and AU: the face, ``edited_au`` and ``intensity``.

    Args:
        faces: face rows, of the training split where the result is to train on; the image
            column may be left out.
        per_subject: see `neutral_faces`.
        intensity: s of every edit, or its range (low, high), drawn by edit id.
        seed: of the draws.
        aus: AUs to activate.
    """
    return cross_with_aus(neutral_faces(faces, per_subject), intensity, seed, aus)


def cross_with_aus(
    faces: pd.DataFrame, intensity: Intensity, seed: int, aus: tuple[str, ...] = AUS
) -> pd.DataFrame:
    """Repeat every face once for each AU, with columns ``edited_au``, ``intensity``, ``seed``."""
    low, high = (intensity, intensity) if np.isscalar(intensity) else intensity
    if not 0 < low <= high <= 1:
        raise FacsimileError(f"edit intensity {intensity} is not within 0 < low ≤ high ≤ 1")
    plan = faces.loc[faces.index.repeat(len(aus))].reset_index(drop=True)
    plan["edited_au"] = list(aus) * len(faces)
    plan["intensity"] = [
        sample_rng(seed, edit_id(face, au)).uniform(low, high)
        for face, au in zip(plan["sample_id"], plan["edited_au"], strict=True)
    ]
    plan["seed"] = seed
    return plan


def edit_id(source_id: str, au: str) -> str:
    return f"{source_id}/edit/{au}"


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
                f"{batch.loc[missing, 'sample_id'].iloc[0]}: has no x_T; invert it before editing"
            )
        size = self.pipeline.image_size
        x_t = torch.from_numpy(np.stack(batch["x_t"]).astype(np.float32)).reshape(-1, 3, size, size)
        return self.decode(batch, x_t, origin="edited")

    def decode(self, batch: pd.DataFrame, x_t: Tensor, origin: str) -> pd.DataFrame:
        """Edit and decode rows whose x_T is at hand, (N, 3, H, W)."""
        au, intensity = batch["edited_au"].to_numpy(), batch["intensity"].to_numpy(np.float32)
        labels = {name: np.where(au == name, intensity, np.float32(0)) for name in AUS}
        z = self.pipeline.normalize(codes(batch["z_sem"]))
        z = edit(z, self.directions, {name: labels[name] for name in np.unique(au)})
        for name in np.unique(au):
            for moved_along in self.directions.entails(name):
                labels[moved_along][au == name] = np.nan
        z_sem = self.pipeline.denormalize(z)
        images = to_uint8(self.pipeline.decode(z_sem, x_t.to(z_sem), self.steps))

        ids = [edit_id(source, name) for source, name in zip(batch["sample_id"], au, strict=True)]
        return pd.DataFrame(
            {
                "sample_id": ids,
                **{name: batch[name].to_numpy() for name in INHERITED},
                "image": image_structs(images, ids),
                **labels,
                "au_presence_only": False,
                "origin": origin,
                "source_id": batch["sample_id"].to_numpy(),
                "edited_au": au,
                "intensity": intensity,
                **self.lineage,
                "seed": batch["seed"].to_numpy(),
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
