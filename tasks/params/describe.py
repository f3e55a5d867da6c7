"""Section `describe`: faces from sentences."""

from typing import Annotated

from pydantic import AfterValidator, PositiveInt

from facsimile.errors import FacsimileError
from tasks.params.section import Section


def _prompt(text: str) -> str:
    # Imported late, because stages that take a moment read all params.
    from facsimile.language import understand

    try:
        understand(text)
    except FacsimileError as error:
        raise ValueError(str(error)) from error
    return text


class DescribeParams(Section):
    """Faces from sentences.

    Attributes:
        prompts: what the faces should show; see `facsimile.language.understand`. None: no faces.
        each: faces of each prompt.
        seed: seed of all random draws.
    """

    prompts: tuple[Annotated[str, AfterValidator(_prompt)], ...]
    each: PositiveInt
    seed: int
