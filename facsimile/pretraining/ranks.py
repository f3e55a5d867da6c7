"""Distributed training under torchrun, or in a single process without it."""

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import torch
from torch import distributed

from facsimile.errors import FacsimileError

# Long, because other ranks wait while rank 0 renders or decodes faces.
TIMEOUT = timedelta(hours=6)

_POLL_SECONDS = 0.5


@dataclass(frozen=True)
class Ranks:
    """Rank of this process in distributed training.

    Attributes:
        rank: index of the process, from 0.
        count: number of processes.
        device: device of this process.
    """

    rank: int
    count: int
    device: torch.device

    @property
    def first(self) -> bool:
        """Whether this is rank 0, which writes all files."""
        return self.rank == 0

    def share(self, batch_size: int, accumulate: int, name: str) -> slice:
        """The slice of a batch that this process computes.

        Args:
            batch_size: size of the whole batch.
            accumulate: gradient accumulation steps.
            name: name of the batch size in the error message.

        Raises:
            FacsimileError: `batch_size` is not divisible by processes × `accumulate`.
        """
        if batch_size % (self.count * accumulate):
            raise FacsimileError(
                f"{name}: {batch_size} is not a multiple of {self.count} processes × {accumulate} "
                "gradient accumulation steps (accumulate)"
            )
        size = batch_size // self.count
        return slice(self.rank * size, (self.rank + 1) * size)

    @contextmanager
    def first_before_others(self) -> Iterator[None]:
        """Run the block on rank 0 first, then on the others, which can reuse its results.

        Raises:
            FacsimileError: on the other ranks, if rank 0 failed.
        """
        failed = torch.tensor(self.first, dtype=torch.uint8, device=self.device)
        if self.count > 1 and not self.first:
            distributed.broadcast(failed, 0)
            if failed:
                raise FacsimileError("the first process failed")
        try:
            yield
            failed.zero_()
        finally:
            if self.count > 1 and self.first:
                distributed.broadcast(failed, 0)


def end_with_parent() -> None:
    """End this process and its children as soon as its parent process ends.

    torchrun starts each process in a new session, so nothing ends them if torchrun gets SIGKILL.
    """
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(_POLL_SECONDS)
        if os.getpgrp() == os.getpid():
            os.killpg(0, signal.SIGKILL)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


@contextmanager
def join(device: str) -> Iterator[Ranks]:
    """Join the process group that torchrun started.

    Args:
        device: "cpu", "cuda" or "mps". With "cuda" each process uses its own GPU. With "mps"
            several processes use the CPU, because no backend communicates tensors on Apple GPUs.
    """
    if "RANK" not in os.environ:
        yield Ranks(0, 1, torch.device(device))
        return
    end_with_parent()
    local = torch.device(device)
    if local.type == "cuda":
        local = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        torch.cuda.set_device(local)
    elif local.type == "mps":
        local = torch.device("cpu")
    distributed.init_process_group("nccl" if local.type == "cuda" else "gloo", timeout=TIMEOUT)
    try:
        yield Ranks(distributed.get_rank(), distributed.get_world_size(), local)
    finally:
        distributed.destroy_process_group()
