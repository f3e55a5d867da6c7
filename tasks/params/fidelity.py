"""Section `fidelity`: how faithfully editors reach target pictures."""

from typing import Annotated

from pydantic import AfterValidator, Field, PositiveInt

from facsimile.faces.aus import AUS
from tasks.params.section import Section
from tasks.params.variants import Intensity


def _with_full_strength(values: tuple[float, ...]) -> tuple[float, ...]:
    if 1.0 not in values or 0.0 in values:
        raise ValueError(f"{values} must contain 1, the strength that all editors share, and not 0")
    return values


class FidelityParams(Section):
    """Edits of unseen people towards target pictures, by the editor and by others.

    Attributes:
        people: pairs of source and target for each number of active AUs; in the embedded world,
            each of another person.
        most: largest number of active AUs.
        intensity: range of the intensities of active AUs in drawn targets.
        single_people: people whose AUs are edited one at a time.
        strengths: strengths of these edits by the default editor; other editors edit by 1.
        examples: people whose pictures are kept.
        seed: seed of the targets, and of the bootstrap.
    """

    people: PositiveInt
    most: Annotated[int, Field(ge=1, le=len(AUS))]
    intensity: Intensity
    single_people: PositiveInt
    strengths: Annotated[tuple[float, ...], AfterValidator(_with_full_strength)]
    examples: PositiveInt
    seed: int

    @property
    def bounds(self) -> tuple[float, float]:
        """Lowest and highest intensity."""
        if isinstance(self.intensity, tuple):
            return self.intensity
        return self.intensity, self.intensity
