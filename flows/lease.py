"""Leases on compute devices: a Prefect slot says that one is free, a file lock says which."""

import fcntl
import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import GlobalConcurrencyLimitUpdate
from prefect.concurrency.sync import concurrency
from prefect.settings import PREFECT_API_URL

LIMIT = "gpu"


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


def create_slots(devices: Sequence[str]) -> None:
    """Set the global concurrency limit ``gpu``: a slot for each device, one where there is none."""
    slots = max(1, len(devices))
    with get_client(sync_client=True) as client:
        client.upsert_global_concurrency_limit_by_name(LIMIT, slots)
        if PREFECT_API_URL.value() is None:
            # A temporary server forgets its leases when it ends, yet not how many slots were
            # taken: those of a flow that was killed would stay taken for good.
            unused = GlobalConcurrencyLimitUpdate(limit=slots, active_slots=0)
            client.update_global_concurrency_limit(LIMIT, unused)


@contextmanager
def lease(devices: Sequence[str], folder: Path) -> Iterator[dict[str, str]]:
    """Hold one device; the slot and the lock are freed however the holder ends.

    Args:
        devices: ids of all devices.
        folder: where the lock files are.

    Yields:
        Environment in which only that device is visible.
    """
    # The file lock guards the device even if a renewal is lost, so that need not end the work.
    with concurrency(LIMIT, occupy=1, strict=True, raise_on_lease_renewal_failure=False):
        if not devices:
            yield {}
            return
        with _lock_one(devices, folder) as device:
            yield {"CUDA_VISIBLE_DEVICES": device}


@contextmanager
def _lock_one(devices: Sequence[str], folder: Path) -> Iterator[str]:
    """Lock the first free device; wait for the first one if flows of other servers hold them all.

    The kernel drops the lock with the process, so that no device stays locked.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for device in devices:
        with (folder / f"device-{device}.lock").open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            yield device
            return
    with (folder / f"device-{devices[0]}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield devices[0]
