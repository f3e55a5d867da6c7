"""Section `evaluate`: how much of the generated faces is shown."""

from typing import Annotated

from pydantic import Field, PositiveInt

from tasks.params.section import Section, Share


class EvaluateParams(Section):
    """Sheets of the report, and the bootstrap.

    Attributes:
        people: rows of the sheet of edited faces.
        intensities: of the edits on that sheet.
        seed: of the bootstrap.
    """

    people: PositiveInt
    intensities: Annotated[tuple[Share, ...], Field(min_length=1)]
    seed: int
