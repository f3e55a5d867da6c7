"""Compute resources of this machine: torch devices and CPU cores."""

import math
import os
import platform
from contextlib import suppress
from pathlib import Path

import torch

from facsimile.errors import FacsimileError

DEVICE_HELP = "torch device (default: FACSIMILE_DEVICE, or the best of cuda, mps and cpu)"

_DEVICE = "FACSIMILE_DEVICE"


def devices() -> list[str]:
    """Torch devices of this machine, best first; GPUs are also listed by index."""
    gpus = [f"cuda:{index}" for index in range(torch.cuda.device_count())]
    names = ["cuda", *gpus] if torch.cuda.is_available() else []
    if torch.backends.mps.is_available():
        names.append("mps")
    return [*names, "cpu"]


def find_device(option: str | None = None) -> str:
    """The device given by `option`, else by FACSIMILE_DEVICE, else the best available one.

    Raises:
        FacsimileError: this machine has no such device.
    """
    name = option or os.environ.get(_DEVICE)
    if not name:
        return devices()[0]
    if name not in devices():
        source = "--device" if option else _DEVICE
        available = ", ".join(reversed(devices()))
        raise FacsimileError(f"{source} {name}: no such device here; available: {available}")
    return name


def find_number(variable: str, default: int) -> int:
    """Integer value of an environment variable.

    Raises:
        FacsimileError: the value is not an integer.
    """
    text = os.environ.get(variable) or str(default)
    try:
        return int(text)
    except ValueError:
        raise FacsimileError(f"{variable} {text}: not a whole number") from None


def count_processors() -> int:
    """CPU cores this process may use, limited by its affinity and its container's quota."""
    if hasattr(os, "process_cpu_count"):  # Python 3.13
        count = os.process_cpu_count()
    elif hasattr(os, "sched_getaffinity"):
        count = len(os.sched_getaffinity(0))
    else:
        count = os.cpu_count()
    return max(1, math.ceil(min(count or 1, _quota())))


def describe_machine(device: str, cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    """Device and processor of this machine, such as ``2 cores, Intel(R) Xeon(R) Processor``.

    Args:
        device: torch device that was used.
        cpuinfo: where Linux names the processor.
    """
    if device.startswith("cuda"):
        return torch.cuda.get_device_name(device)
    processor = platform.processor() or platform.machine()
    with suppress(OSError, StopIteration):
        lines = cpuinfo.read_text().splitlines()
        processor = next(line for line in lines if line.startswith("model name")).split(": ", 1)[1]
    return f"{count_processors()} cores, {processor}"


def _quota(groups: Path = Path("/proc/self/cgroup"), mount: Path = Path("/sys/fs/cgroup")) -> float:
    """CPU quota of this process's control groups (version 2), in cores; infinite without one."""
    try:
        lines = groups.read_text().splitlines()
    except OSError:
        return math.inf
    group = next((line.removeprefix("0::/") for line in lines if line.startswith("0::/")), None)
    if group is None:
        return math.inf
    limits = [math.inf]
    for folder in (mount / group, *(mount / group).parents):
        if not folder.is_relative_to(mount):
            break
        try:
            quota, period = (folder / "cpu.max").read_text().split()
            limits.append(int(quota) / int(period))
        except (OSError, ValueError):  # no limit at this level, or "max"
            continue
    return min(limits)
