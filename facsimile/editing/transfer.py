"""Transfer of annotated expressions to other people.

    z ← z + s (m_b − m_a),   m_p the mean code of the faces of person p

decoded with the face's own x_T, which preserves details of the expression. Edits show AUs as an
editor models them, at planned levels. Transfers keep a real, annotated expression and change the
person. s = 1 replaces the person completely, but the larger s is, the more of the expression is
lost.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import torch

from facsimile.editing.plan import Intensity
from facsimile.errors import FacsimileError
from facsimile.faces.aus import ACTIVE_THRESHOLD, AUS, NUISANCES
from facsimile.faces.origins import TRANSFERRED
from facsimile.faces.tables import image_structs, to_tensor, to_uint8
from facsimile.generator import Codes, Generator
from facsimile.seeding import sample_rng

# Columns of the plan that a transferred row keeps.
KEPT = (
    *("sample_id", "dataset", "subject_id", "split"),
    *AUS,
    "au_presence_only",
    *NUISANCES,
    *("source_id", "seed"),
)


def person_codes(z: np.ndarray, subjects: Sequence[str]) -> pd.Series:
    """Mean code (D,) float32 of each person, indexed by sorted subject id.

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
    """Choose faces, preferring rare AUs, and another person for each.

    AUs that are rare or active alone are the most informative. Faces are drawn without replacement
    (Efraimidis and Spirakis, 2006) with the weight ``1 + Σ_k 1 / f_k / n²``: the sum is over the n
    AUs active on the face, and f_k is the share of faces on which AU k is active. Draws are seeded
    by sample_id.

    Args:
        faces: face rows; those without any AU label are ignored.
        donors: subject ids of the people to transfer to.
        count: maximum number of transfers.
        per_face: maximum number of transfers per face.
        strength: s of every transfer, or the range (low, high) to draw it from.
        seed: seed of the draws.

    Returns:
        Rows of `faces`, one per transfer, with a new sample_id, ``source_id``, ``donor``,
        ``strength`` and ``seed``. Attributes are null, because the result mixes two people.

    Raises:
        FacsimileError: no face is annotated, or there is no other person to transfer to.
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
            raise FacsimileError(f"transfer: there is no other person to transfer {subject} to")
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
        people: subject id → mean code (D,), for sources and donors (see `person_codes`).
    """

    def __init__(self, generator: Generator, people: Mapping[str, np.ndarray]) -> None:
        self.generator = generator
        self.people = people

    def __call__(self, batch: pd.DataFrame, images: np.ndarray) -> pd.DataFrame:
        """Rows with the columns of ``GENERATED_SCHEMA``; ``intensity`` is the strength.

        Args:
            batch: B rows of `plan_transfers` with the source's ``z``.
            images: the sources, uint8 (B, H, W, 3).
        """
        codes = Codes.from_table(batch)
        source, donor = (
            torch.from_numpy(np.stack([self.people[name] for name in batch[column]]))
            for column in ("subject_id", "donor")
        )
        strength = torch.tensor(batch["strength"].to_numpy(np.float32))[:, None]
        moved = self.generator.invert(to_tensor(images), codes).replace_z(
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
