"""Section `directions`: how edit directions are fitted and calibrated."""

from typing import Literal

from pydantic import Field, PositiveFloat, PositiveInt

from facsimile.faces.aus import NUISANCES
from tasks.params.section import Section


class Calibration(Section):
    """See `facsimile.editing.calibration`.

    Attributes:
        faces: neutral validation faces to edit by each AU at each scale.
        scales: multiples of a direction's length to measure.
        epochs: training of the AU estimator that measures.
    """

    faces: PositiveInt
    scales: tuple[PositiveFloat, ...] = Field(min_length=1)
    epochs: PositiveInt


class Directions(Section):
    """See `facsimile.editing.fit_directions`."""

    method: Literal["ridge", "svm", "combined"]
    alpha: PositiveFloat
    condition: bool
    within_subject: bool
    project: tuple[Literal[NUISANCES], ...]
    calibration: Calibration
    seed: int
