"""Devices and processors, also of machines that are not at hand."""

import math
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from facsimile.editing import Neutralizer, neutralize
from facsimile.errors import FacsimileError
from facsimile.pretraining import join
from tasks.shared import machine, stage


@pytest.fixture
def has(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Have a machine with some GPUs."""

    def pretend(cuda: int = 0, mps: bool = False) -> None:
        monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: cuda)
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
        monkeypatch.delenv("FACSIMILE_DEVICE", raising=False)

    return pretend


def test_the_best_device_is_the_default(has: Callable[..., None]) -> None:
    has()
    assert machine.find_device() == "cpu"
    has(mps=True)
    assert machine.find_device() == "mps"
    has(cuda=2, mps=True)
    assert machine.find_device() == "cuda"


def test_a_device_that_is_named_goes_first(
    has: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    has(cuda=2)
    monkeypatch.setenv("FACSIMILE_DEVICE", "cuda:1")
    assert machine.find_device() == "cuda:1"
    assert machine.find_device("cpu") == "cpu"
    monkeypatch.setenv("FACSIMILE_DEVICE", "")
    assert machine.find_device() == "cuda"


@pytest.mark.parametrize(
    ("variables", "arguments", "line"),
    [
        ({}, ["--device", "gpu"], "--device gpu: no such device here; available: cpu, mps"),
        (
            {"FACSIMILE_DEVICE": "cuda"},
            [],
            "FACSIMILE_DEVICE cuda: no such device here; available: cpu, mps",
        ),
        ({"FACSIMILE_WORKERS": "two"}, [], "FACSIMILE_WORKERS two: not a whole number"),
        ({"FACSIMILE_BATCH_SIZE": "1.5"}, [], "FACSIMILE_BATCH_SIZE 1.5: not a whole number"),
    ],
)
def test_an_unusable_device_is_reported_in_one_line(
    has: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    variables: dict[str, str],
    arguments: list[str],
    line: str,
) -> None:
    has(mps=True)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("sys.argv", ["edit", *arguments])
    with pytest.raises(SystemExit) as end:
        stage.main("edit", lambda out, compute: {})
    assert end.value.code == 2
    assert capsys.readouterr().err == f"facsimile: {line}\n"


def test_processors_without_affinity(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on macOS."""
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.delattr(os, "process_cpu_count", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 10)
    monkeypatch.setattr(machine, "_quota", lambda: math.inf)
    assert machine.count_processors() == 10
    monkeypatch.setattr(machine, "_quota", lambda: 1.5)
    assert machine.count_processors() == 2
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert machine.count_processors() == 1


@pytest.mark.parametrize(
    ("groups", "limits", "quota"),
    [
        ("0::/\n", {"": "150000 100000\n"}, 1.5),
        ("1:cpu:/x\n0::/a/b\n", {"a/b": "max 100000", "a": "300000 100000"}, 3),
        ("0::/a/b\n", {"a/b": "max 100000"}, math.inf),
        ("1:cpu:/x\n", {"": "150000 100000"}, math.inf),
        (None, {}, math.inf),
    ],
)
def test_quota_of_a_container(
    tmp_path: Path, groups: str | None, limits: dict[str, str], quota: float
) -> None:
    if groups is not None:
        (tmp_path / "cgroup").write_text(groups)
    for folder, text in limits.items():
        (tmp_path / "mount" / folder).mkdir(parents=True, exist_ok=True)
        (tmp_path / "mount" / folder / "cpu.max").write_text(text)
    assert machine._quota(tmp_path / "cgroup", tmp_path / "mount") == quota


def test_neutralization_leaves_a_gpu_without_doubles(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of Apple: there is no such device here, so that only the choice is tested."""
    model = Neutralizer(8, 16, 0.0)
    expected = neutralize(model, np.ones((2, 8), np.float32), max_steps=3).z
    moved: list[object] = []
    to = torch.nn.Module.to

    def note(self: torch.nn.Module, *arguments: object) -> torch.nn.Module:
        moved.extend(arguments)
        return to(self, *arguments)

    class Elsewhere:
        device = torch.device("mps")

    monkeypatch.setattr(torch.nn.Module, "to", note)
    monkeypatch.setattr(Neutralizer, "parameters", lambda self, recurse=True: iter([Elsewhere()]))
    monkeypatch.setattr(Neutralizer, "requires_grad_", lambda self, _: self)
    made = neutralize(model, np.ones((2, 8), np.float32), max_steps=3).z
    assert moved == [torch.device("cpu")]
    np.testing.assert_array_equal(made, expected)


def test_several_processes_share_no_apple_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "RANK": "0",
        "WORLD_SIZE": "1",
        "LOCAL_RANK": "0",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": "0",
    }.items():
        monkeypatch.setenv(name, value)
    with join("mps") as ranks:
        assert ranks.device == torch.device("cpu")
    monkeypatch.delenv("RANK")
    with join("mps") as ranks:
        assert ranks.device == torch.device("mps")


def test_operations_that_an_apple_gpu_lacks_are_done_by_the_cpu() -> None:
    assert os.environ["PYTORCH_ENABLE_MPS_FALLBACK"] == "1"


def test_no_device_is_named_twice(has: Callable[..., None]) -> None:
    has(cuda=1)
    with pytest.raises(FacsimileError, match=r"available: cpu, cuda:0, cuda$"):
        machine.find_device("mps")


def test_machine_is_described_by_its_processor(tmp_path: Path) -> None:
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text("processor\t: 0\nmodel name\t: Fast Chip 9\nmodel name\t: other\n")
    described = machine.describe_machine("cpu", cpuinfo)
    assert described == f"{machine.count_processors()} cores, Fast Chip 9"
    assert " cores, " in machine.describe_machine("cpu", tmp_path / "none")


def test_threads_of_a_stage_sleep_while_they_wait() -> None:
    """OpenMP prints its settings when it is loaded, before which they must be set."""
    environment = {key: value for key, value in os.environ.items() if key != "OMP_WAIT_POLICY"}
    ended = subprocess.run(
        [sys.executable, "-m", "tasks.encode", "--help"],
        env=environment | {"OMP_DISPLAY_ENV": "TRUE"},
        capture_output=True,
        text=True,
        check=True,
    )
    settings = [line for line in ended.stderr.splitlines() if "OMP_WAIT_POLICY" in line]
    assert settings
    assert all("PASSIVE" in line for line in settings)
