"""Import of small checkpoints in the layouts of Lightning, the reference and other tools."""

import os
import sys
from collections import OrderedDict
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from unittest.mock import patch

import pytest
import torch
from safetensors.torch import save_file

from facsimile.errors import FacsimileError
from facsimile.generator import (
    Codes,
    DiffAEPipeline,
    GeneratorConfig,
    InferenceOptions,
    LatentNetConfig,
    UNetConfig,
)
from facsimile.pretraining import PRESETS, import_checkpoint

CONFIG = GeneratorConfig(
    UNetConfig(16, 32, (1, 2), (1, 2, 2), 1, (8,), z_dim=8),
    LatentNetConfig(hidden=16, num_layers=3, time_channels=8),
)
Z_DIM = 8


def random_pipeline(seed: int) -> DiffAEPipeline:
    """Random weights for all layers, because a zero-initialised layer would hide earlier ones."""
    generator = torch.Generator().manual_seed(seed)
    pipeline = DiffAEPipeline(CONFIG).eval().requires_grad_(False)
    for parameter in pipeline.parameters():
        parameter.normal_(std=0.1, generator=generator)
    pipeline.conds_mean.normal_(generator=generator)
    pipeline.conds_std.uniform_(0.5, 2, generator=generator)
    return pipeline


def training_module(pipeline: DiffAEPipeline, prior: bool) -> OrderedDict[str, torch.Tensor]:
    """``state_dict`` of the reference's training module with averaged weights from `pipeline`."""
    networks = dict(pipeline.model.state_dict())
    if prior:
        for name, value in pipeline.latent_net.state_dict().items():
            networks[f"latent_net.{name}"] = value
            networks[f"latent_net.{name}".replace("cond_layers.1", "linear_emb")] = value
    state = OrderedDict(x_T=torch.randn(2, 3, 16, 16))
    state |= {f"model.{name}": torch.randn_like(value) for name, value in networks.items()}
    state |= {f"ema_model.{name}": value for name, value in networks.items()}
    if prior:
        state["conds_mean"] = pipeline.conds_mean[None]
        state["conds_std"] = pipeline.conds_std[None]
    return state


def write_checkpoint(state: dict[str, torch.Tensor], path: Path) -> Path:
    """Write a file like Lightning 1.4, which uses one of its classes as a key in "callbacks"."""
    name = "pytorch_lightning.callbacks.model_checkpoint"
    packages = ("pytorch_lightning", "pytorch_lightning.callbacks", name)
    modules = {package: ModuleType(package) for package in packages}
    model_checkpoint = type("ModelCheckpoint", (), {"__module__": name})
    modules[name].ModelCheckpoint = model_checkpoint
    moments = {"step": 7, "exp_avg": torch.randn(3), "exp_avg_sq": torch.rand(3)}
    content = {
        "epoch": 1,
        "global_step": 7,
        "pytorch-lightning_version": "1.4.5",
        "state_dict": state,
        "callbacks": {model_checkpoint: {"monitor": None, "best_model_path": "last.ckpt"}},
        "optimizer_states": [{"state": {0: moments}, "param_groups": [{"lr": 1e-4}]}],
        "lr_schedulers": [],
        "hparams_name": "conf",
        "hyper_parameters": {"img_size": 16, "net_ch_mult": (1, 2), "name": "reduced"},
    }
    with patch.dict(sys.modules, modules):
        torch.save(content, path)
    return path


@pytest.fixture(scope="module")
def official() -> DiffAEPipeline:
    return random_pipeline(0)


@pytest.fixture
def autoencoder(official, tmp_path) -> Path:
    return write_checkpoint(training_module(official, prior=False), tmp_path / "autoenc.ckpt")


@pytest.fixture
def prior(official, tmp_path) -> Path:
    return write_checkpoint(training_module(official, prior=True), tmp_path / "latent.ckpt")


@pytest.fixture
def statistics(official, tmp_path) -> Path:
    path = tmp_path / "latent.pkl"
    values = {"conds_mean": official.conds_mean, "conds_std": official.conds_std}
    torch.save({"conds": torch.randn(5, Z_DIM)} | values, path)
    return path


def assert_same(found: DiffAEPipeline, expected: DiffAEPipeline, sampling: bool) -> None:
    found.options = expected.options = InferenceOptions(steps=10, prior_steps=20)
    generator = torch.Generator().manual_seed(1)
    images = torch.rand(2, 3, 16, 16, generator=generator) * 2 - 1
    codes = expected.encode(images)
    # from_pretrained uses the channels-last layout, which changes the order of summation.
    torch.testing.assert_close(found.encode(images).z, codes.z)
    x_t = expected.invert(images, codes).x_t
    torch.testing.assert_close(found.invert(images, codes).x_t, x_t, rtol=1e-4, atol=1e-4)
    codes = Codes(codes.z, images)
    torch.testing.assert_close(found.decode(codes), expected.decode(codes), rtol=1e-4, atol=1e-4)
    if sampling:
        torch.testing.assert_close(found.sample(["a"], 1).z, expected.sample(["a"], 1).z)


def test_the_averaged_weights_are_imported(official, autoencoder, prior, tmp_path):
    import_checkpoint(autoencoder, CONFIG, tmp_path / "out", prior)
    found = DiffAEPipeline.from_pretrained(tmp_path / "out")
    assert found.config == CONFIG
    for name, value in official.state_dict().items():
        assert torch.equal(found.state_dict()[name], value), name
    assert_same(found, official, sampling=True)


def test_the_checkpoint_of_the_prior_is_sufficient(official, prior, tmp_path):
    import_checkpoint(prior, CONFIG, tmp_path / "out")
    assert_same(DiffAEPipeline.from_pretrained(tmp_path / "out"), official, sampling=True)


def test_without_a_prior_the_generator_only_reconstructs(
    official, autoencoder, statistics, tmp_path
):
    import_checkpoint(autoencoder, CONFIG, tmp_path / "out", statistics)
    found = DiffAEPipeline.from_pretrained(tmp_path / "out")
    assert found.config == replace(CONFIG, latent_net=None)
    assert_same(found, official, sampling=False)
    with pytest.raises(FacsimileError, match="no latent prior"):
        found.sample(["a"], 1)


def test_statistics_may_be_in_the_checkpoint_of_the_autoencoder(official, tmp_path):
    state = training_module(official, prior=False)
    state |= {"conds_mean": official.conds_mean, "conds_std": official.conds_std}
    checkpoint = write_checkpoint(state, tmp_path / "last.ckpt")
    found = import_checkpoint(checkpoint, CONFIG, tmp_path / "out")
    assert found.latent_net is None
    assert_same(found, official, sampling=False)


def assert_refused(message: str, tmp_path: Path, *arguments, **options) -> None:
    before = set(tmp_path.iterdir())
    with pytest.raises(FacsimileError, match=message) as error:
        import_checkpoint(*arguments, **options)
    assert "\n" not in str(error.value)
    assert set(tmp_path.iterdir()) == before


def test_latent_statistics_are_required(autoencoder, tmp_path):
    assert_refused("no latent statistics", tmp_path, autoencoder, CONFIG, tmp_path / "out")


class Hostile:
    def __reduce__(self):
        return os.mkdir, ("executed",)


def truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1000])


@pytest.mark.parametrize(
    "spoil, message",
    [
        (truncated, "bad.ckpt: not a checkpoint, or a truncated one"),
        (lambda path: path.unlink(), "bad.ckpt: not readable"),
        (lambda path: torch.save(torch.zeros(3), path), "it has no state_dict"),
        (lambda path: torch.save({"state_dict": {}}, path), "no other named tensors"),
        (lambda path: torch.save({"state_dict": {}, "x": Hostile()}, path), "mkdir"),
    ],
)
def test_a_file_that_is_not_a_checkpoint_is_refused(
    official, tmp_path, monkeypatch, spoil, message
):
    path = write_checkpoint(training_module(official, prior=True), tmp_path / "bad.ckpt")
    spoil(path)
    monkeypatch.chdir(tmp_path)
    assert_refused(message, tmp_path, path, CONFIG, tmp_path / "out")


@pytest.mark.parametrize(
    "change, message",
    [
        ({"ema_model.out.2.bias": None}, r"1 missing parameter\(s\): ema_model.out.2.bias"),
        (
            {"ema_model.extra": torch.zeros(1)},
            r"1 unexpected parameter\(s\): ema_model.extra",
        ),
        (
            {"ema_model.out.2.bias": torch.zeros(5)},
            r"ema_model.out.2.bias has shape \(5,\), the config implies \(3,\)",
        ),
        ({"conds_std": torch.ones(1, 4)}, r"conds_std has shape \(4,\), the config implies \(8,\)"),
        (
            {"ema_model.latent_net.layers.0.norm.bias": None},
            "missing .*: ema_model.latent_net.layers.0.norm.bias",
        ),
    ],
)
def test_wrong_parameters_are_named(official, tmp_path, change, message):
    state = training_module(official, prior=True) | change
    state = {name: value for name, value in state.items() if value is not None}
    path = write_checkpoint(state, tmp_path / "last.ckpt")
    assert_refused(f"last.ckpt: .*{message}", tmp_path, path, CONFIG, tmp_path / "out")


def flat(pipeline: DiffAEPipeline, prior: bool = True) -> dict[str, torch.Tensor]:
    """Parameters by name in the network itself, without any prefix."""
    named = pipeline.state_dict()
    kept = {name.removeprefix("model."): value for name, value in named.items()}
    return {k: v for k, v in kept.items() if prior or not k.startswith(("latent_net.", "conds_"))}


def under(prefix: str, state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Add a prefix to all names but those of the statistics, which are not in the networks."""
    return {k if k.startswith("conds_") else f"{prefix}{k}": v for k, v in state.items()}


def noise(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name: torch.randn_like(value) for name, value in state.items()}


AVERAGED = {
    "data parallel": lambda w: {"state_dict": under("module.ema_model.", w)},
    "wrapped twice": lambda w: {"state_dict": under("ema_model.module._orig_mod.", w)},
    "in a model": lambda w: {"state_dict": under("model.module.ema_model.", w)},
    "no state_dict": lambda w: under("model.", noise(w)) | under("ema_model.", w),
    "a dictionary of averages": lambda w: {"model": noise(w), "ema": w, "step": 7},
    "averages by basicsr": lambda w: {"params": noise(w), "params_ema": w},
    "averages by timm": lambda w: {"state_dict": noise(w), "state_dict_ema": w},
    "averages by torch": lambda w: {
        "model_state_dict": noise(w),
        "averaged": under("module.", w) | {"n_averaged": torch.tensor(9)},
    },
    "n_averaged alone": lambda w: under("module.", w) | {"n_averaged": torch.tensor(9)},
}
RAW = {
    "model": lambda w: {"state_dict": under("model.", w) | {"x_T": torch.zeros(2)}},
    "data parallel": lambda w: {"state_dict": under("module.model.", w)},
    "compiled": lambda w: {"model": under("_orig_mod.", w), "optimizer": {"state": {0: {}}}},
    "bare in state_dict": lambda w: {"epoch": 3, "state_dict": w},
    "bare in model_state_dict": lambda w: {"model_state_dict": w, "scale": torch.tensor(2)},
    "bare alone": lambda w: w,
}


@pytest.mark.parametrize("wrap", AVERAGED.values(), ids=AVERAGED)
@pytest.mark.filterwarnings("error")
def test_averaged_weights_are_found_under_any_name(official, tmp_path, wrap):
    torch.save(wrap(flat(official)), tmp_path / "last.pt")
    assert_imported(tmp_path / "last.pt", official, tmp_path / "out")


@pytest.mark.parametrize("wrap", RAW.values(), ids=RAW)
def test_raw_weights_are_used_with_a_warning_without_averages(official, tmp_path, wrap):
    torch.save(wrap(flat(official)), tmp_path / "last.pt")
    message = r"last.pt: holds no averaged weights .* using the raw weights"
    with pytest.warns(UserWarning, match=message) as warned:
        assert_imported(tmp_path / "last.pt", official, tmp_path / "out")
    assert len(warned) == 1 and "\n" not in str(warned[0].message)


def assert_imported(path: Path, expected: DiffAEPipeline, out: Path, **options) -> None:
    found = import_checkpoint(path, CONFIG, out, **options)
    for name, value in expected.state_dict().items():
        assert torch.equal(found.state_dict()[name], value), name


def test_half_precision_is_converted_to_float32(official, tmp_path):
    half = {name: value.half() for name, value in flat(official).items()}
    torch.save({"ema": half}, tmp_path / "last.pt")
    expected = random_pipeline(0).half().float()
    assert_imported(tmp_path / "last.pt", expected, tmp_path / "out")
    assert expected.conds_std.dtype == torch.float32


def test_the_format_before_torch_1_6(official, tmp_path):
    state = {"state_dict": training_module(official, prior=True)}
    torch.save(state, tmp_path / "last.ckpt", _use_new_zipfile_serialization=False)
    assert_imported(tmp_path / "last.ckpt", official, tmp_path / "out")


@pytest.mark.parametrize("name", ["last.safetensors", "last.ckpt"])
def test_safetensors_are_recognised_by_content(official, tmp_path, name):
    save_file(under("ema_model.", flat(official)), tmp_path / name)
    assert_imported(tmp_path / name, official, tmp_path / "out")


def test_autoencoder_and_prior_may_be_in_separate_files(official, tmp_path):
    autoencoder = {"ema": flat(official, prior=False)}
    bare = dict(official.latent_net.state_dict())
    statistics = {"conds_mean": official.conds_mean, "conds_std": official.conds_std}
    torch.save(autoencoder, tmp_path / "autoencoder.pt")
    torch.save({"ema": bare, **statistics}, tmp_path / "prior.pt")
    arguments = (tmp_path / "autoencoder.pt", official, tmp_path / "out")
    assert_imported(*arguments, latent=tmp_path / "prior.pt")


@pytest.mark.parametrize(
    "content, message",
    [
        (lambda w: {"ema_a": w, "ema_b": noise(w)}, r"holds several copies of the network, ema_a"),
        (
            lambda w: {"state_dict": {"model.diffusion_model.out.0.weight": w["out.0.weight"]}},
            "Sta",
        ),
        (lambda w: {"down_blocks.0.resnets.0.norm1.weight": w["out.0.weight"]}, "of diffusers"),
        (
            lambda w: {k: v for k, v in w.items() if k.startswith(("input_blocks", "out"))},
            "without a semantic encoder",
        ),
        (lambda w: {"fc.weight": w["out.0.weight"]}, r"another network \(1 tensors: fc.weight"),
        (lambda w: {"conds_mean": w["conds_mean"], "conds_std": w["conds_std"]}, "with --latent"),
        (
            lambda w: {"ema": {k: v for k, v in w.items() if "latent" in k}},
            "prior .* with --latent",
        ),
        (
            lambda w: {"ema": w | {"out.2.bias": w["out.2.bias"] * torch.nan}},
            "out.2.bias .* 3 of 3",
        ),
        (lambda w: {"ema": w | {"out.2.bias": w["out.2.bias"] / 0}}, "NaN or infinite"),
        (lambda w: {"ema": w | {"out.2.bias": w["out.2.bias"].to(torch.int8)}}, "holds int8"),
        (lambda w: {"ema": w | {"conds_std": w["conds_std"] * 0}}, "conds_std holds 0"),
        (lambda w: {"ema": w | {"conds_mean": w["conds_mean"] / 0}}, "conds_mean holds 8 of 8"),
        (lambda w: {"ema": w | {"input_blocks.9.0.weight": w["out.0.weight"]}}, "unexpected"),
        (lambda w: w | {"input_blocks.9.0.weight": w["out.0.weight"]}, "unexpected"),
    ],
)
def test_a_broken_autoencoder_is_reported(official, tmp_path, content, message):
    torch.save(content(flat(official)), tmp_path / "last.pt")
    assert_refused(
        f"last.pt: .*{message}", tmp_path, tmp_path / "last.pt", CONFIG, tmp_path / "out"
    )


def test_the_matching_preset_is_named(official, tmp_path, monkeypatch):
    smaller = replace(CONFIG, unet=replace(CONFIG.unet, channel_mult=(1, 1)))
    monkeypatch.setitem(PRESETS, "reduced", CONFIG)
    torch.save({"ema": flat(official)}, tmp_path / "last.pt")
    message = r"last.pt: .*; the file matches --config reduced$"
    assert_refused(message, tmp_path, tmp_path / "last.pt", smaller, tmp_path / "out")


def test_a_checkpoint_of_another_preset_is_refused(prior, tmp_path):
    config = PRESETS["celeba64d2c_autoenc"]
    with torch.device("meta"):
        assert_refused(r"missing parameter\(s\)", tmp_path, prior, config, tmp_path / "out")


@pytest.mark.parametrize(
    "size, message",
    [
        (LatentNetConfig(16, 5, 8), r"latent.ckpt: .* missing parameter\(s\): .*layers.2"),
        (LatentNetConfig(24, 3, 8), r"latent.ckpt: .* has shape .*16.* the config implies .*24"),
    ],
)
def test_a_prior_of_the_wrong_size_is_refused(autoencoder, prior, tmp_path, size, message):
    config = replace(CONFIG, latent_net=size)
    assert_refused(message, tmp_path, autoencoder, config, tmp_path / "out", prior)


def test_a_prior_of_another_autoencoder_is_refused(prior, tmp_path):
    other = write_checkpoint(training_module(random_pipeline(1), prior=False), tmp_path / "other")
    assert_refused("trained on another", tmp_path, other, CONFIG, tmp_path / "out", prior)


def test_an_autoencoder_in_place_of_a_prior_is_refused(autoencoder, tmp_path):
    message = r"missing parameter\(s\): ema_model.latent_net"
    assert_refused(message, tmp_path, autoencoder, CONFIG, tmp_path / "out", autoencoder)


def test_only_a_generator_is_overwritten_and_only_on_request(official, prior, tmp_path):
    out = tmp_path / "out"
    random_pipeline(1).save_pretrained(out)
    assert_refused("already exists", tmp_path, prior, CONFIG, out)
    import_checkpoint(prior, CONFIG, out, overwrite=True)
    assert_same(DiffAEPipeline.from_pretrained(out), official, sampling=True)
    (out / "generator.safetensors").unlink()
    assert_refused("holds no generator", tmp_path, prior, CONFIG, out, overwrite=True)
