"""The generator is loaded as params and options say."""

from pathlib import Path

import pytest
import torch

from facsimile.generator import DiffAEPipeline, GeneratorConfig, InferenceOptions, UNetConfig
from tasks.helpers import generator_loading
from tasks.params import SamplingParams
from tasks.shared.stage import Compute

CONFIG = GeneratorConfig(UNetConfig(16, 32, (1,), (1,), num_res_blocks=1, z_dim=8), None)


def test_generator(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    DiffAEPipeline(CONFIG).save_pretrained(tmp_path)
    monkeypatch.setattr(generator_loading, "GENERATOR", tmp_path)
    compiled = []
    monkeypatch.setattr(DiffAEPipeline, "compile", lambda self: compiled.append(self))

    plain = generator_loading.load_generator(Compute("cpu", 4, 1))
    assert (plain.dtype, compiled) == (torch.float32, [])
    usual = generator_loading.load_generator(
        Compute("cpu", 4, 1), SamplingParams(steps=20, prior_steps=50)
    )
    assert usual.options == InferenceOptions("ddim", steps=20, prior_steps=50)
    sampling = SamplingParams(steps=10, prior_steps=50, solver="dpm++", dtype="bfloat16")
    fast = generator_loading.load_generator(Compute("cpu", 4, 1, compile=True), sampling)
    assert fast.options == InferenceOptions("dpm++", 10, 50, torch.bfloat16, compile=True)
    assert (fast.dtype, compiled) == (torch.bfloat16, [fast])
