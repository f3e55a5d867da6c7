"""`DiffAEPipeline`: shapes, persistence, determinism and errors."""

import json
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file, save_file

from facsimile.errors import FacsimileError
from facsimile.generator import DiffAEPipeline, GeneratorConfig, LatentNetConfig, UNetConfig

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
    pipeline = DiffAEPipeline(CONFIG).eval().requires_grad_(False)
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


def test_saved_in_float32_it_comes_back_exactly(pipeline, images, tmp_path):
    pipeline.save_pretrained(tmp_path, torch.float32)
    again = DiffAEPipeline.from_pretrained(tmp_path)
    assert again.config == pipeline.config
    z_sem = pipeline.encode(images)
    torch.testing.assert_close(again.encode(images), z_sem)
    torch.testing.assert_close(again.decode(z_sem, images, 10), pipeline.decode(z_sem, images, 10))
    torch.testing.assert_close(again.normalize(z_sem), pipeline.normalize(z_sem))


def test_half_precision_on_disk_keeps_the_latent_statistics_exact(pipeline, tmp_path):
    pipeline.save_pretrained(tmp_path)
    stored = load_file(tmp_path / "generator.safetensors")
    assert stored["model.input_blocks.0.0.weight"].dtype == torch.float16
    assert torch.equal(stored["conds_std"], pipeline.conds_std)


def test_computes_in_the_type_asked_for_and_answers_in_float32(pipeline, images, tmp_path):
    pipeline.save_pretrained(tmp_path)
    bf16 = DiffAEPipeline.from_pretrained(tmp_path, dtype=torch.bfloat16)
    z_sem = bf16.encode(images)
    assert bf16.dtype == torch.bfloat16 and z_sem.dtype == torch.float32
    assert bf16.conds_std.dtype == torch.float32
    torch.testing.assert_close(z_sem, pipeline.encode(images), atol=0.05, rtol=0.05)
    assert bf16.sample_z(torch.randn(2, 8), 10).dtype == torch.float32


def test_normalize_is_undone_by_denormalize(pipeline):
    z_sem = torch.randn(5, 8)
    expected = (z_sem - pipeline.conds_mean) / pipeline.conds_std
    torch.testing.assert_close(pipeline.normalize(z_sem), expected)
    torch.testing.assert_close(pipeline.denormalize(expected), z_sem)


def test_decoding_depends_on_both_codes(pipeline, images):
    z_sem = pipeline.encode(images)
    x_t = torch.randn(images.shape)
    decoded = pipeline.decode(z_sem, x_t, 10)
    assert not torch.allclose(decoded, pipeline.decode(z_sem + 1, x_t, 10))
    assert not torch.allclose(decoded, pipeline.decode(z_sem, x_t.flip(0), 10))
    assert decoded.abs().max() <= 1


def test_a_row_does_not_depend_on_its_batch(pipeline, images):
    z_sem = pipeline.encode(images)
    x_t = pipeline.invert(images, z_sem, 10)
    alone = pipeline.invert(images[:1], z_sem[:1], 10)
    torch.testing.assert_close(x_t[:1], alone, atol=1e-3, rtol=1e-3)


@pytest.fixture
def smooth(pipeline) -> DiffAEPipeline:
    """As smooth in x_t as trained networks are; x0 predicted, as that of a random eps is not."""
    unet = replace(pipeline.config.unet, prediction="sample")
    pipeline.config = replace(pipeline.config, unet=unet)
    pipeline.model.out[2].weight.mul_(0.1)
    return pipeline


def test_solvers_agree_on_what_is_decoded(smooth, images):
    z_sem = smooth.encode(images)
    expected = smooth.decode(z_sem, images, 500)
    smooth.solver = "dpm++"
    assert expected.std() > 0.1
    assert (smooth.decode(z_sem, images, 50) - expected).abs().mean() < 0.05 * expected.std()


def test_an_inversion_is_undone_by_the_same_solver(smooth, images):
    z_sem = smooth.encode(images)
    errors = {}
    for solver in ("ddim", "dpm++"):
        smooth.solver = solver
        decoded = smooth.decode(z_sem, smooth.invert(images, z_sem, 20), 20)
        errors[solver] = float((decoded - images).abs().mean())
    assert errors["dpm++"] < errors["ddim"] / 2


def test_a_sweep_is_its_edits_one_by_one(pipeline, images):
    x_t = torch.randn(images[:2].shape)
    z_sem = torch.randn(2, 3, 8)
    swept = pipeline.decode_sweep(z_sem, x_t, 10)
    for face in range(2):
        for code in range(3):
            alone = pipeline.decode(z_sem[face, code][None], x_t[face][None], 10)[0]
            torch.testing.assert_close(swept[face, code], alone, atol=1e-3, rtol=1e-3)


def test_compiled_networks_are_the_ones_that_run(pipeline, images):
    z_sem = pipeline.encode(images)
    expected = pipeline.decode(z_sem, images, 10)
    graphs = []

    def backend(graph, inputs):
        graphs.append(graph)
        return graph.forward

    pipeline.compile(backend=backend)
    torch.testing.assert_close(pipeline.encode(images), z_sem)
    assert len(graphs) == 1
    torch.testing.assert_close(pipeline.decode(z_sem, images, 10), expected)
    assert len(graphs) == 2  # one for all steps


def test_prior_samples_are_denormalised(pipeline):
    noise = torch.randn(4, 8, generator=torch.Generator().manual_seed(0))
    z = pipeline.normalize(pipeline.sample_z(noise, 20))
    pipeline.conds_mean.zero_()
    pipeline.conds_std.fill_(1)
    torch.testing.assert_close(pipeline.sample_z(noise, 20), z, atol=1e-4, rtol=1e-4)


def test_without_a_prior_it_does_all_but_sample(pipeline, images, tmp_path):
    pipeline.config = replace(pipeline.config, latent_net=None)
    pipeline.latent_net = None
    pipeline.save_pretrained(tmp_path, torch.float32)
    again = DiffAEPipeline.from_pretrained(tmp_path)
    assert again.config.latent_net is None
    torch.testing.assert_close(again.encode(images), pipeline.encode(images))
    with pytest.raises(FacsimileError, match="no latent prior"):
        again.sample_z(torch.randn(2, 8), 20)


@pytest.mark.parametrize("shape", [(3, 16, 16), (1, 1, 16, 16), (1, 3, 32, 32)])
def test_images_of_another_shape_are_refused(pipeline, shape):
    with pytest.raises(FacsimileError, match=r"the generator takes \(B, 3, 16, 16\)"):
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
def test_weights_that_do_not_fit_are_named(pipeline, tmp_path, change, message):
    pipeline.save_pretrained(tmp_path)
    state = load_file(tmp_path / "generator.safetensors")
    corrupt(state, change)
    save_file(state, tmp_path / "generator.safetensors")
    with pytest.raises(FacsimileError, match=message):
        DiffAEPipeline.from_pretrained(tmp_path)


def test_absent_and_broken_files_are_named(pipeline, tmp_path):
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
def test_a_config_that_does_not_fit_is_explained(pipeline, tmp_path, change, message):
    pipeline.save_pretrained(tmp_path)
    path = tmp_path / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(FacsimileError, match=message):
        DiffAEPipeline.from_pretrained(tmp_path)
