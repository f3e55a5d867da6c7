"""Measure the time and memory of a function."""

import ctypes
import statistics
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch


def synchronize(device: str) -> None:
    if device != "cpu":
        torch.cuda.synchronize()


def seconds(device: str, work: Callable[[], Any]) -> float:
    """Wall time on a GPU; process time on a CPU, which does not depend on other processes."""
    clock = time.process_time if device == "cpu" else time.perf_counter
    synchronize(device)
    start = clock()
    work()
    synchronize(device)
    return clock() - start


def peak_bytes(device: str, work: Callable[[], Any]) -> int | None:
    """Peak memory during the work, minus the memory in use before it.

    On a CPU, this is the memory of the process; None if the system is not Linux.
    """
    if device != "cpu":
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        work()
        return torch.cuda.max_memory_allocated() - before

    def resident(key: str) -> int:
        status = Path("/proc/self/status").read_text()
        return 1024 * int(status.split(key + ":")[1].split()[0])

    with suppress(OSError):
        ctypes.CDLL(None).malloc_trim(0)
        Path("/proc/self/clear_refs").write_text("5")  # resets the peak
        before = resident("VmRSS")
        work()
        return resident("VmHWM") - before
    return None


def with_spread(ratios: list[float]) -> dict[str, float]:
    return {
        "ratio": statistics.median(ratios),
        "ratio_min": min(ratios),
        "ratio_max": max(ratios),
    }
