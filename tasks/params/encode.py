"""Section `encode`: which faces are inverted."""

from typing import Literal

from pydantic import NonNegativeInt

from tasks.params.section import Section


class EncodeParams(Section):
    """Maximum number of neutral faces to invert per person, by split. Only these can be edited."""

    neutral_per_subject: dict[Literal["train", "val", "test"], NonNegativeInt]
