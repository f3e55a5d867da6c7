"""Section `editor`: how faces are changed."""

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

    faces: PositiveInt = 12
    scales: tuple[PositiveFloat, ...] = Field((1.0, 2.0, 4.0), min_length=1)
    epochs: PositiveInt = 10


class LinearEditor(Section):
    """Options of linear directions; see `facsimile.editing.fit_directions`."""

    model: Literal["ridge", "svm", "combined"] = "ridge"
    alpha: PositiveFloat = 1000.0
    condition: bool = True
    within_subject: bool = True
    project: tuple[Literal[NUISANCES], ...] = NUISANCES
    calibration: Calibration = Calibration()
    seed: int = 0


class Editor(Section):
    """The method, and the options of each method under its name."""

    method: Literal["linear"]
    linear: LinearEditor = LinearEditor()
