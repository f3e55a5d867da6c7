"""Section `pretrain`: self-supervised features, for `facsimile paper`."""

from typing import Annotated

from pydantic import Field, PositiveFloat, PositiveInt

from tasks.params.section import Section


class PretrainParams(Section):
    """See `facsimile.detection.nnclr.NNCLRTraining`."""

    steps: PositiveInt
    batch_size: Annotated[int, Field(ge=2)]
    lr: PositiveFloat
    seed: int
