"""Section `trials`: detectors of the paper's comparisons."""

from typing import Annotated

from pydantic import Field

from tasks.params.section import Section


class TrialsParams(Section):
    """Each of `facsimile.paper.TRIALS` is trained with each seed, otherwise as `detector` says."""

    seeds: Annotated[tuple[int, ...], Field(min_length=1)]
