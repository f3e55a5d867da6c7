"""Section `train`: the detectors to compare."""

from typing import Annotated

from pydantic import Field

from facsimile.faces.arms import training_arms
from tasks.params.section import Section, one_of

TrainingArm = Annotated[str, one_of(training_arms, "a training arm")]


class TrainParams(Section):
    """Training arms and seeds; each arm is trained with each seed. Detectors that `baseline` has
    already trained are reused."""

    arms: Annotated[tuple[TrainingArm, ...], Field(min_length=1)]
    seeds: Annotated[tuple[int, ...], Field(min_length=1)]
