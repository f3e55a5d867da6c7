"""Section `filter`: limits for accepting generated faces."""

from typing import Annotated

from pydantic import Field, NonNegativeInt

from tasks.params.section import Section, Share


class FilterParams(Section):
    """Limits (see `facsimile.filtering.FilterLimits`) and the number of reference faces.

    The references for real faces are the annotated training faces and at most `reference_faces`
    faces of the attribute set.
    """

    min_jaccard: Share
    realism_quantile: Share
    mahalanobis_quantile: Share
    duplicate_rms: Share
    balance_slack: Annotated[float, Field(ge=1)]
    reference_faces: NonNegativeInt
    seed: int
