"""Section `filter`: limits for accepting generated faces."""

from typing import Annotated

from pydantic import Field, NonNegativeInt

from tasks.params.section import Section, Share


class FilterParams(Section):
    """Limits for accepting faces, see `facsimile.filtering.FilterLimits`, and their labels.

    Attributes:
        correct_labels: correct labels by AU readings (see `facsimile.filtering.LabelCorrector`);
            otherwise they stay as requested.
        reference_faces: faces of the attribute set, at most, that count as references for real
            faces beside the annotated training faces.
        seed: seed of all random draws.
    """

    correct_labels: bool = True
    min_jaccard: Share
    realism_quantile: Share
    mahalanobis_quantile: Share
    duplicate_rms: Share
    balance_slack: Annotated[float, Field(ge=1)]
    reference_faces: NonNegativeInt
    seed: int

    @property
    def limits(self) -> dict[str, float]:
        """Arguments of `facsimile.filtering.FilterLimits`."""
        return self.model_dump(exclude={"correct_labels", "reference_faces", "seed"})
