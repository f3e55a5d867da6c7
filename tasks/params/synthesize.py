"""Section `synthesize`: new identities and their edits."""

from typing import Any

from pydantic import PositiveInt

from tasks.params.variants import ActionUnits, Intensity, VariantsParams


class SynthesizeParams(VariantsParams):
    """New identities and their edits.

    Attributes:
        per_cell: identities per gender × age group.
        max_draws: maximum number of codes to sample to fill all cells.
        aus, intensity: as in `EditParams`.
        seed: seed of all random draws.
    """

    per_cell: PositiveInt
    max_draws: PositiveInt
    aus: ActionUnits
    intensity: Intensity
    seed: int

    def variants(self) -> dict[str, Any]:
        """Arguments of `facsimile.editing.plan_edits`."""
        return self.model_dump(include={"aus", "intensity", "single", "mixed", "seed"})
