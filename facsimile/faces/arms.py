"""Training arms: sets of faces to train detectors on. All lists of arms use `training_arms`."""

from dataclasses import dataclass

from facsimile.faces.origins import ORIGINS, REAL, generated_origins

ALL_GENERATED = f"{REAL}+generated"

_ALL_GENERATED_COLOUR = "#009e73"


@dataclass(frozen=True)
class Arm:
    """One training arm.

    Attributes:
        origins: origins of the generated faces added to the real ones.
        colour: colour in all figures, distinct for readers with colour vision deficiency.
    """

    origins: tuple[str, ...]
    colour: str


def training_arms() -> dict[str, Arm]:
    """Name → arm: real faces only, with each generated origin, and with all of them (last)."""
    generated = generated_origins()
    single = {f"{REAL}+{name}": Arm((name,), origin.colour) for name, origin in generated.items()}
    return {
        REAL: Arm((), ORIGINS[REAL].colour),
        **single,
        ALL_GENERATED: Arm(tuple(generated), _ALL_GENERATED_COLOUR),
    }
