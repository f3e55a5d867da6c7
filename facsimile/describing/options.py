"""Options of the text encoder and the joint generator."""

from pydantic import BaseModel, ConfigDict, Field


class TextTrainingOptions(BaseModel):
    """Training of the text encoder on descriptions.

    Attributes:
        dim, layers: size of the transformer.
        steps, batch_size, lr: length, batch size and peak learning rate of AdamW.
        seed: seed of weights and draws.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    dim: int = Field(96, gt=0)
    layers: int = Field(2, gt=0)
    steps: int = Field(800, gt=0)
    batch_size: int = Field(64, gt=1)
    lr: float = Field(3e-3, gt=0)
    seed: int = 0


class JointTrainingOptions(BaseModel):
    """Training of the joint generator.

    Attributes:
        hidden, width: sizes of the network, see `JointGenerator`.
        steps, batch_size, lr: length, batch size and peak learning rate of AdamW.
        ema: decay of the moving average of the weights.
        hide_text: share of faces whose prompt is hidden, for classifier-free guidance.
        sampling_steps: denoising steps in use.
        guidance: how far to go from the prediction without prompt to that with it, and beyond.
        query_decay: decay of the moving average of AU queries over denoising steps.
        mutual: condition each denoising step on the AU queries of the step before.
        seed: seed of weights and draws.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    hidden: int = Field(384, gt=0)
    width: int = Field(64, gt=0)
    steps: int = Field(3000, gt=0)
    batch_size: int = Field(64, gt=1)
    lr: float = Field(1e-3, gt=0)
    ema: float = Field(0.995, ge=0, lt=1)
    hide_text: float = Field(0.1, ge=0, lt=1)
    sampling_steps: int = Field(50, gt=0)
    guidance: float = Field(2.0, ge=0)
    query_decay: float = Field(0.5, ge=0, lt=1)
    mutual: bool = True
    seed: int = 0
