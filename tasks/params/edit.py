"""Section `edit`: edits of real faces."""

from typing import Any

from pydantic import NonNegativeInt

from tasks.params.section import Section
from tasks.params.variants import ActionUnits, Intensity, VariantsParams


class EditParams(Section):
    """Edits of neutral faces.

    AUs that the training faces are not annotated for have no direction and are skipped.

    Attributes:
        aus: AUs to edit.
        intensity: drawn for each edit from this range, or the same for all.
        mixed: edits of several AUs at once per annotated face, which also gets each AU alone.
        unannotated: edits per face that `neutral` chose.
        seed: of all draws.
    """

    aus: ActionUnits
    intensity: Intensity
    mixed: NonNegativeInt
    unannotated: VariantsParams
    seed: int

    def variants(self, annotated: bool) -> dict[str, Any]:
        """Arguments of `facsimile.editing.plan_edits`."""
        shared = self.model_dump(include={"aus", "intensity", "seed"})
        return shared | ({"mixed": self.mixed} if annotated else self.unannotated.model_dump())
