"""Section `plain`: faces made by the paper's method as published, for `facsimile paper`."""

from pydantic import PositiveInt

from tasks.params.section import Section
from tasks.params.variants import Intensity


class PlainParams(Section):
    """Single-AU edits of neutral faces and of synthetic people.

    Attributes:
        intensity: of all edits.
        per_subject: neutral faces of each annotated person to edit.
        per_cell: synthetic people of each gender × age group to edit.
        seed: seed of all random draws.
    """

    intensity: Intensity
    per_subject: PositiveInt
    per_cell: PositiveInt
    seed: int
