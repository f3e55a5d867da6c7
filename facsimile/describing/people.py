"""The identity bank: neutral synthetic people to show expressions on.

Source: "MAUGen: A Unified Diffusion Approach for Multi-Identity Facial Expression and AU Label
Generation" (Li et al., 2026), 3.1: exemplars are drawn at random from a bank. Here its people come
from the unconditional latent prior, so that none of them is a person of a dataset.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from facsimile.errors import FacsimileError
from facsimile.faces.aus import NUISANCES
from facsimile.seeding import sample_rng

Ranges = Mapping[str, tuple[float, float]]
"""Attribute, one of ``NUISANCES`` → smallest and largest value, both included."""


@dataclass(frozen=True)
class IdentityBank:
    """Neutral people.

    Attributes:
        z: normalised codes (M, D).
        attributes: eyeglasses, beard, male and age (M, 4) in [0, 1], in the order of
            ``NUISANCES``; age is the middle of the age group.
    """

    z: Tensor
    attributes: Tensor

    def __len__(self) -> int:
        return len(self.z)

    def choose(self, wanted: Sequence[Ranges], ids: Sequence[str], seed: int) -> np.ndarray:
        """Rows (N,) of one person for each face, drawn among those within the ranges.

        Args:
            wanted: N ranges.
            ids: N ids, which seed the draws.
            seed: seed of all draws.

        Raises:
            FacsimileError: no person of the bank is within the ranges.
        """
        values = self.attributes.numpy()
        rows = np.empty(len(ids), int)
        for n, (ranges, name) in enumerate(zip(wanted, ids, strict=True)):
            within = np.ones(len(self), bool)
            for attribute, (low, high) in ranges.items():
                column = values[:, NUISANCES.index(attribute)]
                within &= (low <= column) & (column <= high)
            if not within.any():
                asked = ", ".join(
                    f"{key} {low:g} … {high:g}" for key, (low, high) in ranges.items()
                )
                raise FacsimileError(f"the identity bank has nobody with {asked}; ask for less")
            rows[n] = sample_rng(seed, f"{name}/person").choice(np.flatnonzero(within))
        return rows

    def state(self) -> dict[str, Tensor]:
        """What a file keeps of it."""
        return {"bank.z": self.z, "bank.attributes": self.attributes}

    @classmethod
    def from_state(cls, state: Mapping[str, Tensor]) -> "IdentityBank":
        """Inverse of `state`."""
        return cls(state["bank.z"], state["bank.attributes"])
