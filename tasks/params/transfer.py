"""Section `transfer`: expressions moved to other people."""

from typing import Any

from pydantic import NonNegativeInt, PositiveInt

from tasks.params.section import Section
from tasks.params.variants import Intensity


class TransferParams(Section):
    """See `facsimile.editing.plan_transfers`.

    Attributes:
        faces: maximum number of faces to generate.
        per_face: transfers per source face.
        strength: range from which the strength of each transfer is drawn, or one value for all; 1
            is all the way to the other person.
        seed: seed of all random draws.
    """

    faces: NonNegativeInt
    per_face: PositiveInt
    strength: Intensity
    seed: int

    def variants(self) -> dict[str, Any]:
        """Arguments of `facsimile.editing.plan_transfers`."""
        return self.model_dump(include={"per_face", "strength", "seed"}) | {"count": self.faces}
