"""Number and intensity of the edits per face, shared by several sections."""

from typing import Annotated

from pydantic import AfterValidator, NonNegativeInt

from facsimile.faces.aus import AUS
from tasks.params.section import Section


def _action_units(names: tuple[str, ...]) -> tuple[str, ...]:
    for name in names:
        if name not in AUS:
            raise ValueError(f"{name!r} is not an Action Unit; allowed: {', '.join(AUS)}")
    if not names or len(set(names)) < len(names):
        raise ValueError("needs at least one Action Unit, without duplicates")
    return names


def _intensity(value: float | tuple[float, float]) -> float | tuple[float, float]:
    low, high = value if isinstance(value, tuple) else (value, value)
    if not 0 < low <= high <= 1:
        raise ValueError(f"{value} is not within 0 < low ≤ high ≤ 1")
    return value


ActionUnits = Annotated[tuple[str, ...], AfterValidator(_action_units)]
Intensity = Annotated[float | tuple[float, float], AfterValidator(_intensity)]


class VariantsParams(Section):
    """Number of edits per face; see `facsimile.editing.plan_edits`."""

    single: NonNegativeInt | None
    mixed: NonNegativeInt
