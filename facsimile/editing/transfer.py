"""Transfer of expressions: annotated faces, moved to the identity of other people.

    z ← z + s (m_b − m_a),   m_p the mean code of the faces of person p

decoded with the face's own x_T, which keeps the details of the expression. An edit shows AUs as a
linear direction models them, at planned levels; a transfer keeps an annotated expression and
changes the person. The larger s, the more of the expression is lost: s = 1 replaces the person
altogether.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import torch

from facsimile.editing.plan import Intensity
from facsimile.errors import FacsimileError
from facsimile.faces.aus import ACTIVE_THRESHOLD, AUS, NUISANCES
from facsimile.faces.origins import TRANSFERRED
from facsimile.faces.tables import decode_images, image_structs, to_tensor, to_uint8
from facsimile.generator import Codes, Generator
from facsimile.seeding import sample_rng

# What a transferred row has of its plan: all of the source but the picture.
KEPT = (
    *("sample_id", "dataset", "subject_id", "split"),
    *AUS,
    "au_presence_only",
    *NUISANCES,
    *("source_id", "seed"),
)


def person_codes(z: np.ndarray, subjects: Sequence[str]) -> pd.Series:
    """Mean code (D,) float32 of each person, by subject id in their order.

    Args:
        z: codes (N, D).
        subjects: N subject ids.
    """
    means = pd.DataFrame(np.asarray(z, np.float64)).groupby(np.asarray(subjects)).mean()
    return pd.Series(list(means.to_numpy(np.float32)), index=means.index)


def plan_transfers(
    faces: pd.DataFrame,
    donors: Sequence[str],
    *,
    count: int,
    per_face: int,
    strength: Intensity,
    seed: int,
) -> pd.DataFrame:
    """Choose faces, those with rare AUs before others, and somebody else for each.

    AUs that are rare, or come without others, teach most. Faces are drawn with the weight
    ``1 + Σ_k 1 / f_k / n²``, the sum over the n AUs that are active on the face, f_k the share of
    faces that show AU k; without replacement (Efraimidis and Spirakis, 2006).

    Args:
        faces: face rows; those without any AU label are left out.
        donors: subject ids of the people to move to.
        count: how many faces to make, at most.
        per_face: of one face, at most.
        strength: s of every face, or its range (low, high), drawn by the id of the new face.
        seed: of the draws.

    Returns:
        Rows of `faces` with the sample_id of the new face, ``source_id``, ``donor``, ``strength``
        and ``seed``. Attributes are null: they are those of neither person.

    Raises:
        FacsimileError: no face is annotated, or there is nobody else to move one to.
    """
    faces = faces[faces[list(AUS)].notna().any(axis=1)]
    if faces.empty:
        raise FacsimileError("transfer: no face is annotated for any AU")
    active = faces[list(AUS)].to_numpy(float) >= ACTIVE_THRESHOLD
    rarity = 1 / np.maximum(active.mean(axis=0), 1 / len(faces))
    weight = 1 + active @ rarity / np.maximum(active.sum(axis=1), 1) ** 2

    plan = faces.loc[faces.index.repeat(per_face)].reset_index(drop=True)
    plan["source_id"] = plan["sample_id"]
    numbers = np.tile(np.arange(per_face), len(faces))
    plan["sample_id"] = [
        f"{name}/transfer/{number}" for name, number in zip(plan["source_id"], numbers, strict=True)
    ]
    ids = [f"{name}/chosen" for name in plan["sample_id"]]
    draws = np.array([sample_rng(seed, name).random() for name in ids])
    order = np.argsort(np.log(draws) / np.repeat(weight, per_face), kind="stable")[::-1]
    plan = plan.iloc[np.sort(order[:count])].reset_index(drop=True)

    low, high = (strength, strength) if np.isscalar(strength) else strength
    people = np.array(sorted(set(donors)))
    chosen, strengths = [], []
    for name, subject in zip(plan["sample_id"], plan["subject_id"], strict=True):
        rng = sample_rng(seed, name)
        others = people[people != subject]
        if not len(others):
            raise FacsimileError(f"transfer: there is nobody to move the faces of {subject} to")
        chosen.append(others[rng.integers(len(others))])
        strengths.append(rng.uniform(low, high))
    return plan.assign(
        donor=chosen,
        strength=strengths,
        seed=seed,
        **dict.fromkeys(NUISANCES, np.float32(np.nan)),
    )


class TransferOperator:
    """Maps planned transfers to faces.

    Args:
        generator: loaded generator.
        people: mean code (D,) by subject id, of sources and donors (see `person_codes`).
    """

    def __init__(self, generator: Generator, people: Mapping[str, np.ndarray]) -> None:
        self.generator = generator
        self.people = people

    def __call__(self, batch: pd.DataFrame) -> pd.DataFrame:
        """Rows with the columns of ``GENERATED_SCHEMA``; ``intensity`` is the strength.

        Args:
            batch: rows of `plan_transfers` with ``image`` and ``z`` of the source.
        """
        codes = Codes.from_table(batch)
        source, donor = (
            torch.from_numpy(np.stack([self.people[name] for name in batch[column]]))
            for column in ("subject_id", "donor")
        )
        strength = torch.tensor(batch["strength"].to_numpy(np.float32))[:, None]
        images = to_tensor(decode_images(batch.assign(sample_id=batch["source_id"])))
        moved = self.generator.invert(images, codes).replace_z(
            codes.z + strength * (donor - source)
        )
        decoded = to_uint8(self.generator.decode(moved))
        ids = batch["sample_id"].to_list()
        return batch[list(KEPT)].assign(
            image=image_structs(decoded, ids),
            origin=TRANSFERRED,
            intensity=batch["strength"],
            generator_md5=self.generator.digest,
            z=moved.to_columns()["z"],
        )
