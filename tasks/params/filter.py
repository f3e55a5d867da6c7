"""Section `filter`: limits that generated faces must keep."""

from typing import Annotated

from pydantic import Field, NonNegativeInt

from tasks.params.section import Section, Share


class FilterParams(Section):
    """Limits (see `facsimile.filtering.FilterLimits`) and what they are fitted on.

    `reference_faces` faces of the attribute set join the annotated ones as examples of real faces.
    """

    min_jaccard: Share
    realism_quantile: Share
    mahalanobis_quantile: Share
    duplicate_rms: Share
    balance_slack: Annotated[float, Field(ge=1)]
    reference_faces: NonNegativeInt
    seed: int
