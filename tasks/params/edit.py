"""Section `edit`: edits of real faces."""

from typing import Any

from pydantic import NonNegativeInt

from tasks.params.section import Section
from tasks.params.variants import ActionUnits, Intensity, VariantsParams


class EditParams(Section):
    """Edits of neutral faces.

    AUs without annotations on the training faces have no direction and are skipped.

    Attributes:
        aus: AUs to edit.
        intensity: range from which the intensity of each edit is drawn, or one value for all edits.
        mixed: combinations of AUs per annotated face, in addition to each AU alone.
        unannotated: edits per face selected by `neutral`.
        seed: seed of all random draws.
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
