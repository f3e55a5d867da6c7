"""Training arms: what detectors learn from. Every list of arms derives from `training_arms`."""

from dataclasses import dataclass

from facsimile.faces.origins import ORIGINS, REAL, generated_origins

ALL_GENERATED = f"{REAL}+generated"

_ALL_GENERATED_COLOUR = "#009e73"


@dataclass(frozen=True)
class Arm:
    """One arm.

    Attributes:
        origins: of the generated faces that join the real ones.
        colour: in all figures, distinct for readers with colour vision deficiency.
    """

    origins: tuple[str, ...]
    colour: str


def training_arms() -> dict[str, Arm]:
    """Name → arm: real faces alone, joined by each generated origin, and by all of them, last."""
    generated = generated_origins()
    single = {f"{REAL}+{name}": Arm((name,), origin.colour) for name, origin in generated.items()}
    return {
        REAL: Arm((), ORIGINS[REAL].colour),
        **single,
        ALL_GENERATED: Arm(tuple(generated), _ALL_GENERATED_COLOUR),
    }
