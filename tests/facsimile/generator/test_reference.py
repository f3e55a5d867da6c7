"""Agreement with the reference implementation: recorded outputs, parameter names and shapes.

`fixture/` holds a reduced reference model (random weights), its inputs and outputs, and the
parameter shapes of the published presets.
"""

import copy
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from facsimile.generator import (
    DiffAEPipeline,
    DiffAEUNet,
    GeneratorConfig,
    LatentNet,
    LatentNetConfig,
    UNetConfig,
    diffusion,
)

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
PRESETS = {
    "ffhq256_autoenc": UNetConfig(256, 128, (1, 1, 2, 2, 4, 4), (1, 1, 2, 2, 4, 4, 4)),
    "ffhq128_autoenc_130M": UNetConfig(128, 128, (1, 1, 2, 3, 4), (1, 1, 2, 3, 4, 4)),
    "celeba64d2c_autoenc": UNetConfig(64, 64, (1, 2, 4, 8), (1, 2, 4, 8, 8)),
}


@pytest.fixture(scope="module")
def pipeline() -> DiffAEPipeline:
    state = {k: v.float() for k, v in load_file(FIXTURE / "weights.safetensors").items()}
    state |= {"conds_mean": torch.zeros(64), "conds_std": torch.ones(64)}
    pipeline = DiffAEPipeline(CONFIG).eval().requires_grad_(False)
    pipeline.load_weights(state, "fixture")
    return pipeline


@pytest.fixture(scope="module")
def io() -> dict[str, torch.Tensor]:
    with np.load(FIXTURE / "io.npz") as arrays:
        return {name: torch.from_numpy(arrays[name]) for name in arrays}


def assert_agrees(found: torch.Tensor, expected: torch.Tensor) -> None:
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-5)


def test_encoder(pipeline, io):
    assert_agrees(pipeline.encode(io["x"]), io["z_sem"])


def test_unet(pipeline, io):
    assert_agrees(pipeline.model(io["x_t"], io["t"], io["z_sem"]), io["eps"])


def test_inversion(pipeline, io):
    assert_agrees(pipeline.invert(io["x"], io["z_sem"], 10), io["x_T_inverted_10"])


def test_decoding(pipeline, io):
    assert_agrees(pipeline.decode(io["z_sem"], io["x_t"], 10), io["decoded_from_x_t_10"])


def test_decoding_from_the_inverted_noise(pipeline, io):
    # The first x0 of a random net is off by 1/sqrt(alpha_bar_900) = 66 times its rounding error;
    # double precision leaves only the rounding of the recorded run.
    model = copy.deepcopy(pipeline.model).double()
    z_sem = io["z_sem"].double()
    images = diffusion.sample(
        lambda x_t, timesteps: model(x_t, timesteps, z_sem),
        diffusion.image_scheduler(),
        io["x_T_inverted_10"].double(),
        steps=10,
    )
    assert_agrees(images.float(), io["decoded_from_inverted_10"])


def test_latent_net(pipeline, io):
    assert_agrees(pipeline.latent_net(io["latent_z_t"], io["t"]), io["latent_eps"])


def test_latent_sampling(pipeline, io):
    # An untrained net diverges to |z| = 163, hence the relative tolerance.
    found, expected = pipeline.sample_z(io["latent_z_t"], 10), io["latent_sampled_10"]
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("preset", PRESETS)
def test_published_parameter_names_and_shapes(preset):
    expected = json.loads((FIXTURE / "parameter_shapes.json").read_text())[preset]
    with torch.device("meta"):
        model = DiffAEUNet(PRESETS[preset])
    found = {name: list(value.shape) for name, value in model.state_dict().items()}
    assert found == expected


@pytest.mark.parametrize(
    "preset, num_layers", [("ffhq256_autoenc_latent", 10), ("horse128_autoenc_latent", 20)]
)
def test_published_latent_parameter_names_and_shapes(preset, num_layers):
    expected = json.loads((FIXTURE / "parameter_shapes.json").read_text())[preset]
    with torch.device("meta"):
        net = LatentNet(LatentNetConfig(num_layers=num_layers), z_dim=512)
    found = {f"latent_net.{name}": list(value.shape) for name, value in net.state_dict().items()}
    assert found == {name: s for name, s in expected.items() if ".linear_emb." not in name}
