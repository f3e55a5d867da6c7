"""The arms of training: what detectors learn from. Whatever lists arms takes them from here."""

from dataclasses import dataclass

REAL = "real"


@dataclass(frozen=True)
class Arm:
    """One arm.

    Attributes:
        origins: of the generated faces that join the real ones.
        colour: in all figures, one that the colour-blind can tell from the others.
    """

    origins: tuple[str, ...]
    colour: str


ARMS: dict[str, Arm] = {
    REAL: Arm((), "#858b93"),
    "real+edited": Arm(("edited",), "#e69f00"),
    "real+transferred": Arm(("transferred",), "#cc79a7"),
    "real+synthetic": Arm(("synthetic",), "#56b4e9"),
    "real+generated": Arm(("edited", "transferred", "synthetic"), "#009e73"),
}
"""Name → arm, the richest last."""
