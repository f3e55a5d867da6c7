"""Section `paper`: statistics of `facsimile paper`."""

from pydantic import PositiveInt

from tasks.params.section import Section


class PaperParams(Section):
    """Intervals of differences between training arms.

    Attributes:
        draws: resamples of people and seeds.
        seed: seed of the resampling.
    """

    draws: PositiveInt
    seed: int
