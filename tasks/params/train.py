"""Section `train`: which detectors are compared."""

from typing import Annotated, Literal

from pydantic import Field

from facsimile.faces.arms import ARMS
from tasks.params.section import Section

Arm = Literal[tuple(ARMS)]


class Train(Section):
    """Arms × seeds of detectors. Seeds of the arm of real faces that `baseline` has trained are not
    trained again."""

    arms: Annotated[tuple[Arm, ...], Field(min_length=1)]
    seeds: Annotated[tuple[int, ...], Field(min_length=1)]
