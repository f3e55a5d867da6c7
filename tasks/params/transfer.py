"""Section `transfer`: expressions moved to other people."""

from typing import Any

from pydantic import NonNegativeInt, PositiveInt

from tasks.params.section import Section
from tasks.params.variants import Intensity


class TransferParams(Section):
    """See `facsimile.editing.plan_transfers`.

    Attributes:
        faces: faces to make at most.
        per_face: transfers of each source face.
        strength: drawn for each face from this range, or the same for all; 1 is all the way to the
            other person.
        seed: of all draws.
    """

    faces: NonNegativeInt
    per_face: PositiveInt
    strength: Intensity
    seed: int

    def variants(self) -> dict[str, Any]:
        """Arguments of `facsimile.editing.plan_transfers`."""
        return self.model_dump(include={"per_face", "strength", "seed"}) | {"count": self.faces}
