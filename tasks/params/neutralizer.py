"""Section `neutralizer`: training of the neutralization network."""

from typing import Annotated

from pydantic import Field, PositiveFloat, PositiveInt

from tasks.params.section import Section


class NeutralizerParams(Section):
    """See `facsimile.editing.NeutralizerTraining`."""

    width: PositiveInt
    dropout: Annotated[float, Field(ge=0, lt=1)]
    lr: PositiveFloat
    batch_size: PositiveInt
    patience: PositiveInt
    max_epochs: PositiveInt
    seed: int
