"""Agreement with the reference implementation: recorded outputs, parameter names and shapes.

`fixture/` holds a reduced reference model with random weights, its inputs and outputs (`io.npz`;
for the first image with other numbers of steps `respaced.npz`), and the parameter shapes of the
published models.
"""

import copy
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from facsimile.errors import FacsimileError
from facsimile.generator import (
    Codes,
    DiffAEPipeline,
    GeneratorConfig,
    InferenceOptions,
    LatentNetConfig,
    UNetConfig,
    diffusion,
)
from facsimile.pretraining import PRESETS, preset

pytestmark = pytest.mark.slow

FIXTURE = Path(__file__).parent / "fixture"
CONFIG = GeneratorConfig(
    UNetConfig(
        image_size=32,
        model_channels=32,
        channel_mult=(1, 2, 2),
        encoder_channel_mult=(1, 2, 2, 2),
        attention_resolutions=(16,),
        z_dim=64,
    ),
    LatentNetConfig(hidden=256, num_layers=10, time_channels=64),
)
# Recorded shapes of each autoencoder and its prior; the 128 px models share theirs.
RECORDED = {
    "ffhq256_autoenc": ("ffhq256_autoenc", "ffhq256_autoenc_latent"),
    "ffhq128_autoenc_130M": ("ffhq128_autoenc_130M", "ffhq128_autoenc_latent"),
    "celeba64d2c_autoenc": ("celeba64d2c_autoenc", "celeba64d2c_autoenc_latent"),
    "bedroom128_autoenc": ("ffhq128_autoenc_130M", "horse128_autoenc_latent"),
    "horse128_autoenc": ("ffhq128_autoenc_130M", "horse128_autoenc_latent"),
}


@pytest.fixture(scope="module")
def pipeline() -> DiffAEPipeline:
    state = {k: v.float() for k, v in load_file(FIXTURE / "weights.safetensors").items()}
    state |= {"conds_mean": torch.zeros(64), "conds_std": torch.ones(64)}
    pipeline = DiffAEPipeline(CONFIG, InferenceOptions(steps=10)).eval().requires_grad_(False)
    pipeline.load_weights(state, "fixture")
    return pipeline


@pytest.fixture(scope="module")
def io() -> dict[str, torch.Tensor]:
    with np.load(FIXTURE / "io.npz") as arrays:
        return {name: torch.from_numpy(arrays[name]) for name in arrays}


@pytest.fixture(scope="module")
def respaced() -> dict[str, torch.Tensor]:
    with np.load(FIXTURE / "respaced.npz") as arrays:
        return {name: torch.from_numpy(arrays[name]) for name in arrays}


def assert_agrees(found: torch.Tensor, expected: torch.Tensor) -> None:
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)


def test_encoder(pipeline, io):
    assert_agrees(pipeline.encode(io["x"]).raw, io["z_sem"])


def test_unet(pipeline, io):
    assert_agrees(pipeline.model(io["x_t"], io["t"], io["z_sem"]), io["eps"])


def test_inversion(pipeline, io):
    assert_agrees(pipeline.invert(io["x"], Codes(io["z_sem"])).x_t, io["x_T_inverted_10"])


def test_decoding(pipeline, io):
    assert_agrees(pipeline.decode(Codes(io["z_sem"], io["x_t"])), io["decoded_from_x_t_10"])


def test_decoding_from_the_inverted_noise(pipeline, io):
    # The first x0 of a random network is off by 1/sqrt(alpha_bar_900) = 66 times its rounding
    # error; in double precision only the rounding of the recorded run remains.
    model = copy.deepcopy(pipeline.model).double()
    z_sem = io["z_sem"].double()
    images = diffusion.sample(
        lambda x_t, timesteps: model(x_t, timesteps, z_sem),
        diffusion.image_scheduler(),
        io["x_T_inverted_10"].double(),
        steps=10,
    )
    assert_agrees(images.float(), io["decoded_from_inverted_10"])


@pytest.mark.parametrize("steps", [20, 100, 250])
def test_respaced_inversion_and_decoding(pipeline, io, respaced, steps):
    pipeline = copy.deepcopy(pipeline)
    pipeline.options = InferenceOptions(steps=steps)
    codes = Codes(io["z_sem"], io["x_t"])[:1]
    assert_agrees(pipeline.invert(io["x"][:1], codes).x_t, respaced[f"x_T_inverted_{steps}"])
    assert_agrees(pipeline.decode(codes), respaced[f"decoded_from_x_t_{steps}"])


def double(layer: torch.nn.Module, inputs: slice = slice(None)) -> None:
    layer.weight[:, inputs] *= 2


PARTS = {
    "time": lambda unet: double(unet.input_blocks[1][0].emb_layers[1]),
    "z_sem": lambda unet: double(unet.input_blocks[1][0].cond_emb_layers[1]),
    "attention": lambda unet: double(unet.middle_block[1].proj_out),
    "skip": lambda unet: double(unet.output_blocks[-1][0].in_layers[2], slice(-32, None)),
}


@pytest.mark.parametrize("part", PARTS)
def test_the_recorded_noise_depends_on_each_part(pipeline, io, part):
    unet = copy.deepcopy(pipeline.model)
    PARTS[part](unet)
    eps = unet(io["x_t"], io["t"], io["z_sem"])
    assert (eps - io["eps"]).abs().max() > 1e-3


def test_latent_net(pipeline, io):
    assert_agrees(pipeline.latent_net(io["latent_z_t"], io["t"]), io["latent_eps"])


@pytest.mark.parametrize("steps", [10, 20, 100, 250])
def test_latent_sampling(pipeline, io, respaced, steps):
    scheduler = diffusion.latent_scheduler()
    sampled = diffusion.sample(pipeline.latent_net, scheduler, io["latent_z_t"], steps)
    # An untrained network diverges to |z| = 264, so z is scaled to the order of 1.
    assert_agrees(0.01 * sampled, 0.01 * (io | respaced)[f"latent_sampled_{steps}"])


@pytest.mark.parametrize("name", PRESETS)
def test_published_parameter_names_and_shapes(name):
    shapes = json.loads((FIXTURE / "parameter_shapes.json").read_text())
    autoencoder, prior = (shapes[recorded] for recorded in RECORDED[name])
    expected = {f"model.{key}": shape for key, shape in autoencoder.items()}
    expected |= {key: shape for key, shape in prior.items() if ".linear_emb." not in key}
    expected |= {"conds_mean": [512], "conds_std": [512]}
    with torch.device("meta"):
        pipeline = DiffAEPipeline(PRESETS[name])
    assert {key: list(value.shape) for key, value in pipeline.state_dict().items()} == expected


def test_an_unpublished_name_is_refused():
    with pytest.raises(FacsimileError, match=r"'ffhq512'; there are ffhq256_autoenc, ffhq128"):
        preset("ffhq512")
