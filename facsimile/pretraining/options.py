"""Validated training options: network sizes, data, optimisation and evaluation."""

from typing import Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt, model_validator

from facsimile.generator import GeneratorConfig, InferenceOptions, LatentNetConfig, UNetConfig
from facsimile.pretraining.trainer import OptimizerSettings, face_weights


class _Options(BaseModel):
    """Base of all options. An unknown key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class UNetOptions(_Options):
    """Sizes of encoder and decoder (see `UNetConfig`)."""

    image_size: PositiveInt = 64
    patch_size: PositiveInt = 4
    model_channels: PositiveInt = 64
    channel_mult: tuple[PositiveInt, ...] = (1, 2, 3)
    encoder_channel_mult: tuple[PositiveInt, ...] = (1, 2, 3)
    num_res_blocks: PositiveInt = 1
    attention_resolutions: tuple[PositiveInt, ...] = (8,)
    z_dim: PositiveInt = 256
    encoder_pool: Literal["average", "flatten"] = "flatten"
    dropout: float = Field(0.0, ge=0, lt=1)
    prediction: Literal["epsilon", "sample"] = "sample"


class LatentNetOptions(_Options):
    """Sizes of the latent prior (see `LatentNetConfig`)."""

    hidden: PositiveInt = 512
    num_layers: PositiveInt = 6
    time_channels: PositiveInt = 64


class PhaseOptions(_Options):
    """Length and optimisation of one phase (see `OptimizerSettings`).

    `batch_size` counts the faces over all processes; each computes its share in `accumulate`
    gradient accumulation steps.
    """

    steps: PositiveInt
    batch_size: PositiveInt
    accumulate: PositiveInt = 1
    learning_rate: PositiveFloat
    warmup_steps: PositiveInt = 200
    ema_decay: float = Field(0.999, gt=0, lt=1)

    @model_validator(mode="after")
    def _equal_parts(self) -> "PhaseOptions":
        if self.batch_size % self.accumulate:
            raise ValueError(f"batch_size {self.batch_size} is not a multiple of {self.accumulate}")
        return self

    def settings(self) -> OptimizerSettings:
        return OptimizerSettings(**self.model_dump(exclude={"batch_size", "accumulate"}))


class TrainingOptions(_Options):
    """Options of training a generator; section `generator` of params.yaml.

    `dataset`, `faces` and `workers` apply only if no table is given and faces are rendered.
    `eye_row` and `eye_distance` describe the frame that faces are aligned to. The defaults are
    those of the embedded world; for FFHQ they are about 0.47 and 0.25. Convolutions and linear
    layers compute in `dtype` during training; weights stay float32.
    """

    dataset: str = "world-ffhq"
    faces: PositiveInt = 30_000
    holdout: PositiveInt = 300
    seed: int = 0
    workers: PositiveInt = 2
    codes_faces: PositiveInt = 8_000
    unet: UNetOptions = UNetOptions()
    latent_net: LatentNetOptions = LatentNetOptions()
    timestep_skew: float = Field(0.0, ge=0)
    face_weight: float = Field(12.0, ge=0)
    eye_row: float = Field(0.37, gt=0, lt=1)
    eye_distance: float = Field(0.29, gt=0, lt=1)
    detail: float = Field(4.0, ge=0)
    dtype: Literal["float32", "bfloat16"] = "bfloat16"
    compile: bool = True
    checkpoint_every: PositiveInt = 500
    warm_start: PhaseOptions = PhaseOptions(
        steps=1_500, batch_size=32, learning_rate=1e-3, warmup_steps=100, ema_decay=0.99
    )
    autoencoder: PhaseOptions = PhaseOptions(steps=16_000, batch_size=32, learning_rate=5e-4)
    prior: PhaseOptions = PhaseOptions(steps=8_000, batch_size=256, learning_rate=1e-3)
    eval_solver: Literal["ddim", "dpm++"] = "dpm++"
    eval_steps: PositiveInt = 10

    def eval_options(self) -> InferenceOptions:
        """How the trained generator is evaluated."""
        return InferenceOptions(self.eval_solver, self.eval_steps, self.eval_steps)

    @property
    def torch_dtype(self) -> torch.dtype:
        return getattr(torch, self.dtype)

    def config(self) -> GeneratorConfig:
        """Sizes of the networks."""
        return GeneratorConfig(
            UNetConfig(**self.unet.model_dump()), LatentNetConfig(**self.latent_net.model_dump())
        )

    def pixel_weights(self) -> torch.Tensor:
        """Weights of the pixels in both losses (see `face_weights`)."""
        return face_weights(self.unet.image_size, self.face_weight, self.eye_row, self.eye_distance)

    def of_the_weights(self) -> dict[str, Any]:
        """The options that affect the weights by more than rounding, by dotted name."""
        plain = self.model_dump(mode="json", exclude={"workers", "compile", "checkpoint_every"})
        named: dict[str, Any] = {}
        for key, value in plain.items():
            nested = value.items() if isinstance(value, dict) else ()
            named |= {f"{key}.{name}": item for name, item in nested if name != "accumulate"}
            if not nested:
                named[key] = value
        return named
