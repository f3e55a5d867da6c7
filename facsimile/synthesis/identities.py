"""Sampling new identities, balanced over gender × age group, and neutralizing them.

Source: "Controlled Face Manipulation and Synthesis for Data Augmentation", III-B: sample z from the
latent diffusion prior, accept or reject it by demographic predictors, neutralize it by Eq. (1), and
decode it with an x_T from the distribution of real faces (`NoiseModel`). The neutral face and the
edits of an identity share one x_T.
"""

import numpy as np
import pandas as pd
import pyarrow as pa
import torch

from facsimile.editing.neutralization import neutralize
from facsimile.editing.neutralizer import Neutralizer
from facsimile.errors import FacsimileError
from facsimile.faces.aus import AUS
from facsimile.faces.demographics import AGE_GROUPS, CELLS
from facsimile.faces.origins import SYNTHETIC
from facsimile.faces.tables import FACE_SCHEMA, GENERATED_SCHEMA, image_structs, to_uint8
from facsimile.generator import Codes, Generator, NoiseModel
from facsimile.synthesis.predictors import DemographicPredictors

IDENTITY_SCHEMA = GENERATED_SCHEMA.remove_metadata()
for _field in (
    pa.field("gender", pa.string()),
    pa.field("age_group", pa.string()),
    pa.field("sampled_image", FACE_SCHEMA.field("image").type),
    pa.field("z_sampled", pa.list_(pa.float32())),
    pa.field("residual_au", pa.float32()),
    pa.field("neutral_distance", pa.float32()),
    pa.field("neutral_steps", pa.int64()),
    pa.field("neutral_converged", pa.bool_()),
):
    IDENTITY_SCHEMA = IDENTITY_SCHEMA.append(_field)
"""A sampled identity as a neutral face row. ``image`` and ``z`` are those of the neutral face,
``sampled_image`` and ``z_sampled`` those before neutralization. ``residual_au`` is the largest AU
that N predicts for the neutral face, ``neutral_distance`` the distance between the two codes."""


def sample_identities(
    generator: Generator,
    predictors: DemographicPredictors,
    per_cell: int,
    *,
    seed: int,
    max_draws: int,
    batch_size: int = 256,
) -> pd.DataFrame:
    """Draw from the latent prior until every gender × age group cell is full.

    Candidates are seeded individually and considered in a fixed order, so the result does not
    depend on `batch_size`.

    Args:
        generator: samples the candidates.
        predictors: predict the cell of a candidate.
        per_cell: number of identities in each of the six cells.
        seed: seed of the candidates.
        max_draws: upper bound on candidates.
        batch_size: number of candidates sampled at once.

    Returns:
        Accepted identities in the order drawn: sample_id, subject_id (identical), dataset, split,
        gender, age_group, nuisances (age is the middle of the group, eyeglasses and beard are
        unknown), origin, seed, ``z_sampled``.

    Raises:
        FacsimileError: not all cells are full after `max_draws`.
    """
    missing = dict.fromkeys(CELLS, per_cell)
    accepted = []
    for start in range(0, max_draws, batch_size):
        ids = [
            f"synthetic/{index:06d}" for index in range(start, min(start + batch_size, max_draws))
        ]
        z = generator.sample(ids, seed).z.cpu().numpy()
        for name, cell, code in zip(ids, predictors.predict(z), z, strict=True):
            if missing[cell]:
                missing[cell] -= 1
                accepted.append((name, *cell, code))
        if not any(missing.values()):
            break
    else:
        lacking = ", ".join(
            f"{' '.join(cell)} ({per_cell - count} of {per_cell})"
            for cell, count in missing.items()
            if count
        )
        raise FacsimileError(
            f"synthesis: cells not filled after {max_draws} draws: {lacking}; "
            f"{len(accepted) / max(max_draws, 1):.1%} of the draws were accepted; "
            "raise max_draws or lower per_cell"
        )
    table = pd.DataFrame(accepted, columns=["sample_id", "gender", "age_group", "z_sampled"])
    middles = {group: (index + 0.5) / len(AGE_GROUPS) for index, group in enumerate(AGE_GROUPS)}
    return table.assign(
        subject_id=table["sample_id"],
        dataset=SYNTHETIC,
        split="train",
        male=(table["gender"] == "male").astype(np.float32),
        age=table["age_group"].map(middles).astype(np.float32),
        eyeglasses=np.float32(np.nan),
        beard=np.float32(np.nan),
        origin=SYNTHETIC,
        seed=seed,
    )


class IdentityOperator:
    """Maps sampled identities to neutral faces.

    Args:
        generator: loaded generator.
        neutralizer: model trained on codes of this generator.
        noise: distribution of x_T.
    """

    def __init__(self, generator: Generator, neutralizer: Neutralizer, noise: NoiseModel) -> None:
        self.generator = generator
        z_dim, expected = neutralizer.config["z_dim"], generator.z_dim
        if z_dim != expected:
            raise FacsimileError(
                f"the neutralizer takes codes of {z_dim} dimensions, the generator's have "
                f"{expected}; train the neutralizer on codes of this generator"
            )
        self.neutralizer = neutralizer.to(generator.device)
        self.noise = noise

    def __call__(self, batch: pd.DataFrame) -> pd.DataFrame:
        """Rows with the columns of ``IDENTITY_SCHEMA``.

        Args:
            batch: rows of `sample_identities`.
        """
        sampled = Codes.from_table(batch, "z_sampled")
        sampled = self.noise.complete(sampled, batch["sample_id"], batch["seed"])
        start = sampled.z.numpy()
        neutral = neutralize(self.neutralizer, start)
        codes = sampled.replace_z(torch.from_numpy(neutral.z))
        ids = batch["sample_id"].to_list()
        images = {
            "sampled_image": self.generator.decode(sampled),
            "image": self.generator.decode(codes),
        }
        return batch.assign(
            **{name: image_structs(to_uint8(value), ids) for name, value in images.items()},
            **{au: np.float32(0 if au in self.neutralizer.aus else np.nan) for au in AUS},
            au_presence_only=False,
            generator_md5=self.generator.digest,
            z=codes.to_columns()["z"],
            residual_au=neutral.aus[:, np.isin(AUS, self.neutralizer.aus)].max(axis=1),
            neutral_distance=np.linalg.norm(neutral.z - start, axis=1),
            neutral_steps=neutral.steps,
            neutral_converged=neutral.converged,
        )
