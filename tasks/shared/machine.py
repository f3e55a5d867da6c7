"""What a stage computes with on this machine: torch device and processors."""

import math
import os
from pathlib import Path

import torch

from facsimile.errors import FacsimileError

DEVICE_HELP = "torch device (default: FACSIMILE_DEVICE, or the best of cuda, mps and cpu)"

_DEVICE = "FACSIMILE_DEVICE"


def devices() -> list[str]:
    """Torch devices of this machine, the best first; GPUs also by number."""
    gpus = [f"cuda:{index}" for index in range(torch.cuda.device_count())]
    names = ["cuda", *gpus] if torch.cuda.is_available() else []
    if torch.backends.mps.is_available():
        names.append("mps")
    return [*names, "cpu"]


def find_device(option: str | None = None) -> str:
    """The device that an option names, or else FACSIMILE_DEVICE; without both, the best there is.

    Raises:
        FacsimileError: this machine has no such device.
    """
    named = option or os.environ.get(_DEVICE)
    if not named:
        return devices()[0]
    if named not in devices():
        source = "--device" if option else _DEVICE
        raise FacsimileError(f"{source} {named}: not here, only {', '.join(reversed(devices()))}")
    return named


def find_number(variable: str, default: int) -> int:
    """A number from the environment.

    Raises:
        FacsimileError: the variable is set to something else.
    """
    text = os.environ.get(variable) or str(default)
    try:
        return int(text)
    except ValueError:
        raise FacsimileError(f"{variable} {text}: not a whole number") from None


def count_processors() -> int:
    """Processors that this process may use: of its affinity and of its container's quota, where the
    system has them."""
    if hasattr(os, "process_cpu_count"):  # Python 3.13
        count = os.process_cpu_count()
    elif hasattr(os, "sched_getaffinity"):
        count = len(os.sched_getaffinity(0))
    else:
        count = os.cpu_count()
    return max(1, math.ceil(min(count or 1, _quota())))


def _quota(groups: Path = Path("/proc/self/cgroup"), mount: Path = Path("/sys/fs/cgroup")) -> float:
    """Processors that the control groups of this process grant it (version 2); else infinite."""
    try:
        lines = groups.read_text().splitlines()
    except OSError:
        return math.inf
    own = next((line.removeprefix("0::/") for line in lines if line.startswith("0::/")), None)
    if own is None:
        return math.inf
    limits = [math.inf]
    for folder in (mount / own, *(mount / own).parents):
        if not folder.is_relative_to(mount):
            break
        try:
            quota, period = (folder / "cpu.max").read_text().split()
            limits.append(int(quota) / int(period))
        except (OSError, ValueError):  # none at this level, or "max"
            continue
    return min(limits)
