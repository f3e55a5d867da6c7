"""Section `detector`: training of every AU detector."""

from typing import Annotated

from pydantic import Field, PositiveFloat, PositiveInt

from tasks.params.section import Section


class DetectorParams(Section):
    """See `facsimile.detection.DetectorTraining`."""

    lr: PositiveFloat
    batch_size: Annotated[int, Field(ge=2)]
    epoch_faces: PositiveInt
    epochs: PositiveInt
