"""Section `train`: which detectors are compared."""

from typing import Annotated

from pydantic import Field

from facsimile.faces.arms import training_arms
from tasks.params.section import Section, one_of

TrainingArm = Annotated[str, one_of(training_arms, "a training arm")]


class TrainParams(Section):
    """Arms × seeds of detectors. Seeds of the arm of real faces that `baseline` has trained are not
    trained again."""

    arms: Annotated[tuple[TrainingArm, ...], Field(min_length=1)]
    seeds: Annotated[tuple[int, ...], Field(min_length=1)]
