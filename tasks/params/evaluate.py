"""Section `evaluate`: contact sheets of the report, and the bootstrap."""

from typing import Annotated

from pydantic import Field, PositiveInt

from tasks.params.section import Section, Share


class EvaluateParams(Section):
    """Contact sheets of the report, and the bootstrap.

    Attributes:
        people: number of people on the sheet of edited faces.
        intensities: intensities of the edits on that sheet.
        seed: seed of the bootstrap.
    """

    people: PositiveInt
    intensities: Annotated[tuple[Share, ...], Field(min_length=1)]
    seed: int
