"""Leases on compute devices: one stage at a time on each, of whatever flow and project.

A lease is a file lock. The kernel drops it with the process that holds it, however that ends, so
that no device stays taken; a slot of a Prefect concurrency limit would.
"""

import fcntl
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

_SECONDS_BETWEEN_TRIES = 0.2


def find_devices() -> list[str]:
    """Ids for CUDA_VISIBLE_DEVICES, without importing torch; empty where there is only a CPU."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return [device for device in visible.split(",") if device.strip() not in ("", "-1")]
    if not shutil.which("nvidia-smi"):
        return []
    listed = subprocess.run(["nvidia-smi", "--list-gpus"], capture_output=True, text=True)
    gpus = [line for line in listed.stdout.splitlines() if line.startswith("GPU ")]
    return [str(index) for index in range(len(gpus))]


@contextmanager
def lease(devices: Sequence[str]) -> Iterator[dict[str, str]]:
    """Hold one of the devices, or the CPU if there are none; wait until one is free.

    Args:
        devices: ids of all devices.

    Yields:
        Environment in which only that device is visible.
    """
    folder = Path(tempfile.gettempdir()) / f"facsimile-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    while True:
        for device in devices or ["cpu"]:
            with (folder / f"{device}.lock").open("w") as file:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    continue
                yield {"CUDA_VISIBLE_DEVICES": device} if devices else {}
                return
        time.sleep(_SECONDS_BETWEEN_TRIES)
