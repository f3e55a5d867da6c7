"""Implementations to compare: the reference, and ours with each optimization."""

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from facsimile.generator import (
    Codes,
    DiffAEPipeline,
    GeneratorConfig,
    InferenceOptions,
    UNetConfig,
)


@dataclass
class Contender:
    """An implementation of the three tasks. Images are float32 tensors on the device."""

    name: str
    encode: Callable[[Tensor], Tensor]
    invert: Callable[[Tensor, Tensor], Tensor]
    decode: Callable[[Tensor, Tensor], Tensor]
    weight_bytes: int


class Contiguous(DiffAEPipeline):
    """Our pipeline without channels-last."""

    def _check_images(self, images: Tensor) -> Tensor:
        return super()._check_images(images).contiguous()


def weight_bytes(module: torch.nn.Module) -> int:
    return sum(value.numel() * value.element_size() for value in module.parameters())


def ours(name: str, pipeline: DiffAEPipeline) -> Contender:
    return Contender(
        name,
        lambda images: pipeline.encode(images).raw,
        lambda images, z_sem: pipeline.invert(images, Codes(z_sem, raw=z_sem)).x_t,
        lambda z_sem, x_t: pipeline.decode(Codes(z_sem, x_t, raw=z_sem)),
        weight_bytes(pipeline.model),
    )


def variant(
    state: dict[str, Tensor],
    config: GeneratorConfig,
    device: str,
    steps: int,
    *,
    kind: type[DiffAEPipeline] = DiffAEPipeline,
    dtype: torch.dtype = torch.float32,
    **options: Any,
) -> DiffAEPipeline:
    """A pipeline with the given weights. Any `options` are for compiling it."""
    pipeline = kind(config, InferenceOptions(steps=steps)).eval().requires_grad_(False)
    pipeline.load_state_dict(state)
    layout = torch.contiguous_format if kind is Contiguous else torch.channels_last
    pipeline.model.to(device, dtype, memory_format=layout)
    pipeline.to(device)
    if options:
        pipeline.compile(**options)
    return pipeline


def reference(
    path: Path, config: UNetConfig, state: dict[str, Tensor], steps: int, device: str
) -> Contender:
    """The reference implementation in `path`, with our weights loaded by name."""
    sys.path.insert(0, str(path))
    from choices import GenerativeType, LossType, ModelMeanType, ModelType, ModelVarType
    from diffusion.base import get_named_beta_schedule
    from diffusion.diffusion import SpacedDiffusionBeatGansConfig, space_timesteps
    from model.unet_autoenc import BeatGANsAutoencConfig

    model = BeatGANsAutoencConfig(
        image_size=config.image_size,
        model_channels=config.model_channels,
        channel_mult=config.channel_mult,
        enc_channel_mult=config.encoder_channel_mult,
        num_res_blocks=config.num_res_blocks,
        enc_num_res_block=config.num_res_blocks,
        attention_resolutions=config.attention_resolutions,
        embed_channels=config.z_dim,
        enc_out_channels=config.z_dim,
        enc_pool="adaptivenonzero",
        resnet_two_cond=True,
    ).make_model()
    prefix = "model."
    model.load_state_dict(
        {name.removeprefix(prefix): v for name, v in state.items() if name.startswith(prefix)}
    )
    model.to(device).eval().requires_grad_(False)
    sampler = SpacedDiffusionBeatGansConfig(
        gen_type=GenerativeType.ddim,
        model_type=ModelType.autoencoder,
        betas=get_named_beta_schedule("linear", 1000),
        model_mean_type=ModelMeanType.eps,
        model_var_type=ModelVarType.fixed_large,
        loss_type=LossType.mse,
        rescale_timesteps=False,
        use_timesteps=space_timesteps(1000, f"ddim{steps}"),
        fp16=device != "cpu",
    ).make_sampler()

    def invert(images: Tensor, z_sem: Tensor) -> Tensor:
        out = sampler.ddim_reverse_sample_loop(model, images, model_kwargs={"cond": z_sem})
        return out["sample"]

    def decode(z_sem: Tensor, x_t: Tensor) -> Tensor:
        return sampler.sample(model=model, noise=x_t, model_kwargs={"cond": z_sem})

    return Contender(
        "reference", torch.no_grad()(model.encoder), invert, decode, weight_bytes(model)
    )


def random_weights(config: GeneratorConfig) -> dict[str, Tensor]:
    """Random weights. Zero-initialised layers get a std of 0.02, because eps would be 0."""
    torch.manual_seed(0)
    pipeline = DiffAEPipeline(config).requires_grad_(False)
    for parameter in pipeline.parameters():
        if not parameter.any():
            parameter.normal_(std=0.02)
    return pipeline.state_dict()


def contenders(
    unet: UNetConfig, steps: int, device: str, checkout: Path | None
) -> Iterator[Contender]:
    """All contenders, the baseline first: the reference if there is a checkout of it."""
    config = GeneratorConfig(unet, None)
    state = random_weights(config)
    if checkout:
        yield reference(checkout, unet, state, steps, device)
    fused = {"dynamic": False}
    half = {"dtype": torch.bfloat16}
    variants = {
        "ours, float32": {"kind": Contiguous},
        "channels last (the default)": {},
        "compiled": fused,
        "bfloat16": half,
        "bfloat16, compiled": half | fused,
    }
    if device != "cpu":
        variants["float16, compiled"] = {"dtype": torch.float16} | fused
        variants["bfloat16, CUDA graphs"] = half | fused | {"mode": "reduce-overhead"}
    for name, options in variants.items():
        yield ours(name, variant(state, config, device, steps, **options))
