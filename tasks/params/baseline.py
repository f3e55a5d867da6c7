"""Section `baseline`: the detectors of real faces alone."""

from typing import Annotated

from pydantic import Field

from tasks.params.section import Section


class BaselineParams(Section):
    """One detector for each seed; later stages read AUs with the mean of all."""

    seeds: Annotated[tuple[int, ...], Field(min_length=1)]
