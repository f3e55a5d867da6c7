"""Section `baseline`: detectors trained on real faces only."""

from typing import Annotated

from pydantic import Field

from tasks.params.section import Section


class BaselineParams(Section):
    """One detector per seed; later stages read AUs with the ensemble."""

    seeds: Annotated[tuple[int, ...], Field(min_length=1)]
