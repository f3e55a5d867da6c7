"""`DiffAEPipeline`: shapes, persistence, determinism and errors."""

import hashlib
import json
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file, save_file

from facsimile.errors import FacsimileError
from facsimile.generator import (
    Codes,
    DiffAEPipeline,
    GeneratorConfig,
    InferenceOptions,
    LatentNetConfig,
    UNetConfig,
)

CONFIG = GeneratorConfig(
    UNetConfig(
        image_size=16,
        model_channels=32,
        channel_mult=(1, 2),
        encoder_channel_mult=(1, 2),
        num_res_blocks=1,
        attention_resolutions=(4,),
        z_dim=8,
        patch_size=2,
    ),
    LatentNetConfig(hidden=16, num_layers=3, time_channels=8),
)


@pytest.fixture
def pipeline() -> DiffAEPipeline:
    torch.manual_seed(0)
    options = InferenceOptions(steps=10, prior_steps=20)
    pipeline = DiffAEPipeline(CONFIG, options).eval().requires_grad_(False)
    # The zero-initialised layers would hide any dependence on x_t and z_sem.
    for parameter in pipeline.parameters():
        if not parameter.any():
            parameter.normal_(std=0.1)
    pipeline.conds_mean.normal_()
    pipeline.conds_std.uniform_(0.5, 2)
    return pipeline


@pytest.fixture
def images() -> torch.Tensor:
    return torch.rand(3, 3, 16, 16, generator=torch.Generator().manual_seed(1)) * 2 - 1


def test_float32_round_trip_is_exact(pipeline, images, tmp_path):
    pipeline.save_pretrained(tmp_path, torch.float32)
    again = DiffAEPipeline.from_pretrained(tmp_path, options=pipeline.options)
    assert again.config == pipeline.config
    codes = replace(pipeline.encode(images), x_t=images)
    torch.testing.assert_close(again.encode(images).z, codes.z)
    torch.testing.assert_close(again.decode(codes), pipeline.decode(codes))


def test_digest_is_the_md5_of_the_weights(pipeline, tmp_path):
    assert pipeline.digest == ""
    pipeline.save_pretrained(tmp_path)
    weights = (tmp_path / "generator.safetensors").read_bytes()
    assert DiffAEPipeline.from_pretrained(tmp_path).digest == hashlib.md5(weights).hexdigest()


def test_latent_statistics_are_saved_in_float32(pipeline, tmp_path):
    pipeline.save_pretrained(tmp_path)
    stored = load_file(tmp_path / "generator.safetensors")
    assert stored["model.input_blocks.0.0.weight"].dtype == torch.float16
    assert torch.equal(stored["conds_std"], pipeline.conds_std)


def test_networks_compute_in_dtype_and_results_are_float32(pipeline, images, tmp_path):
    pipeline.save_pretrained(tmp_path)
    options = replace(pipeline.options, dtype=torch.bfloat16)
    bf16 = DiffAEPipeline.from_pretrained(tmp_path, options=options)
    codes = bf16.encode(images)
    assert bf16.dtype == torch.bfloat16 and codes.z.dtype == torch.float32
    assert bf16.conds_std.dtype == torch.float32
    torch.testing.assert_close(codes.z, pipeline.encode(images).z, atol=0.1, rtol=0.1)
    assert bf16.sample(["a"], 0).z.dtype == torch.float32


def test_denormalize_inverts_normalize(pipeline):
    z_sem = torch.randn(5, 8)
    expected = (z_sem - pipeline.conds_mean) / pipeline.conds_std
    torch.testing.assert_close(pipeline.normalize(z_sem), expected)
    torch.testing.assert_close(pipeline.denormalize(expected), z_sem)


def test_decoding_depends_on_both_codes(pipeline, images):
    codes = replace(pipeline.encode(images), x_t=torch.randn(images.shape))
    decoded = pipeline.decode(codes)
    assert not torch.allclose(decoded, pipeline.decode(codes.replace_z(codes.z + 1)))
    other = replace(codes, x_t=codes.x_t.flip(0))
    assert not torch.allclose(decoded, pipeline.decode(other))
    assert decoded.abs().max() <= 1


def test_decoding_needs_x_t(pipeline, images):
    with pytest.raises(FacsimileError, match="without x_T"):
        pipeline.decode(pipeline.encode(images))


def test_inversion_uses_the_exact_code_of_the_encoder(pipeline, images):
    codes = pipeline.encode(images)
    torch.testing.assert_close(codes.z, pipeline.normalize(codes.raw), rtol=0, atol=0)
    inverted = pipeline.invert(images, codes)
    exact = pipeline.invert(images, replace(codes, z=torch.zeros_like(codes.z)))
    assert torch.equal(inverted.x_t, exact.x_t) and torch.equal(inverted.z, codes.z)
    stored = pipeline.invert(images, Codes(codes.z))
    torch.testing.assert_close(stored.x_t, inverted.x_t, atol=1e-3, rtol=1e-3)


def test_a_row_does_not_depend_on_its_batch(pipeline, images):
    codes = pipeline.encode(images)
    x_t = pipeline.invert(images, codes).x_t
    alone = pipeline.invert(images[:1], codes[:1]).x_t
    torch.testing.assert_close(x_t[:1], alone, atol=1e-3, rtol=1e-3)
    sampled = pipeline.sample(list("abc"), 4).z
    torch.testing.assert_close(sampled[1:2], pipeline.sample(["b"], 4).z, atol=1e-4, rtol=1e-4)


@pytest.fixture
def smooth(pipeline) -> DiffAEPipeline:
    """Smooth in x_t like a trained network. Predicts x0: from a random eps, x0 is not smooth."""
    unet = replace(pipeline.config.unet, prediction="sample")
    pipeline.config = replace(pipeline.config, unet=unet)
    pipeline.model.out[2].weight.mul_(0.1)
    return pipeline


@pytest.mark.slow
def test_solvers_agree_on_decoded_images(smooth, images):
    codes = replace(smooth.encode(images), x_t=images)
    smooth.options = InferenceOptions(steps=500)
    expected = smooth.decode(codes)
    smooth.options = InferenceOptions("dpm++", steps=50)
    assert expected.std() > 0.1
    assert (smooth.decode(codes) - expected).abs().mean() < 0.05 * expected.std()


def test_decoding_undoes_inversion_with_the_same_solver(smooth, images):
    codes = smooth.encode(images)
    errors = {}
    for solver in ("ddim", "dpm++"):
        smooth.options = InferenceOptions(solver, steps=20)
        decoded = smooth.decode(smooth.invert(images, codes))
        errors[solver] = float((decoded - images).abs().mean())
    assert errors["dpm++"] < errors["ddim"] / 2


@pytest.mark.slow
def test_compiled_networks_are_used(pipeline, images):
    codes = replace(pipeline.encode(images), x_t=images)
    expected = pipeline.decode(codes)
    graphs = []

    def backend(graph, inputs):
        graphs.append(graph)
        return graph.forward

    pipeline.compile(backend=backend)
    torch.testing.assert_close(pipeline.encode(images).z, codes.z)
    assert len(graphs) == 1
    torch.testing.assert_close(pipeline.decode(codes), expected)
    assert len(graphs) == 2  # one for all steps


def test_prior_samples_are_normalised(pipeline):
    z = pipeline.sample(list("abcd"), 0).z
    pipeline.conds_mean.zero_()
    pipeline.conds_std.fill_(1)
    assert torch.equal(pipeline.sample(list("abcd"), 0).z, z)


def test_without_a_prior_only_sampling_fails(pipeline, images, tmp_path):
    pipeline.config = replace(pipeline.config, latent_net=None)
    pipeline.latent_net = None
    pipeline.save_pretrained(tmp_path, torch.float32)
    again = DiffAEPipeline.from_pretrained(tmp_path)
    assert again.config.latent_net is None
    torch.testing.assert_close(again.encode(images).z, pipeline.encode(images).z)
    with pytest.raises(FacsimileError, match="no latent prior"):
        again.sample(["a"], 0)


@pytest.mark.parametrize("shape", [(3, 16, 16), (1, 1, 16, 16), (1, 3, 32, 32)])
def test_images_of_the_wrong_shape_are_refused(pipeline, shape):
    with pytest.raises(FacsimileError, match=r"the generator expects \(B, 3, 16, 16\)"):
        pipeline.encode(torch.zeros(shape))


def corrupt(state, change):
    if change == "missing":
        del state["model.out.2.bias"]
    elif change == "unexpected":
        state["model.extra"] = torch.zeros(1)
    else:
        state["model.out.2.bias"] = torch.zeros(5)


@pytest.mark.parametrize(
    "change, message",
    [
        ("missing", r"1 missing parameter\(s\): model.out.2.bias"),
        ("unexpected", r"1 unexpected parameter\(s\): model.extra"),
        ("shape", r"model.out.2.bias has shape \(5,\), the config implies \(12,\)"),
    ],
)
def test_wrong_weights_are_named(pipeline, tmp_path, change, message):
    pipeline.save_pretrained(tmp_path)
    state = load_file(tmp_path / "generator.safetensors")
    corrupt(state, change)
    save_file(state, tmp_path / "generator.safetensors")
    with pytest.raises(FacsimileError, match=message):
        DiffAEPipeline.from_pretrained(tmp_path)


def test_missing_and_broken_files_are_named(pipeline, tmp_path):
    with pytest.raises(FacsimileError, match=r"config.json: no generator config"):
        DiffAEPipeline.from_pretrained(tmp_path)
    pipeline.save_pretrained(tmp_path)
    (tmp_path / "generator.safetensors").write_bytes(b"\x00" * 20)
    with pytest.raises(FacsimileError, match=r"generator.safetensors: not readable"):
        DiffAEPipeline.from_pretrained(tmp_path)


VELOCITY = {
    "image_size": 16,
    "model_channels": 32,
    "channel_mult": [1],
    "encoder_channel_mult": [1],
    "prediction": "velocity",
}


@pytest.mark.parametrize(
    "change, message",
    [
        ({"colour": 1}, "unknown GeneratorConfig key colour"),
        ({"unet": {"size": 1}}, "unknown UNetConfig key size"),
        ({"unet": {"image_size": 16}}, "missing"),
        ({"unet": VELOCITY}, "config.json: prediction 'velocity' is not one of epsilon, sample"),
        ({"unet": None}, "UNetConfig must be a mapping"),
        ({"latent_net": 3}, "LatentNetConfig must be a mapping"),
    ],
)
def test_an_invalid_config_is_explained(pipeline, tmp_path, change, message):
    pipeline.save_pretrained(tmp_path)
    path = tmp_path / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(FacsimileError, match=message):
        DiffAEPipeline.from_pretrained(tmp_path)
