"""The processes that train one model together, as torchrun starts them; without it, one alone."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from datetime import timedelta

import torch
from torch import distributed

from facsimile.errors import FacsimileError
from tasks.shared.stage import progress

# The others wait while the first renders or decodes faces.
PATIENCE = timedelta(hours=6)

_SECONDS_BETWEEN_LOOKS = 0.5


@dataclass(frozen=True)
class Ranks:
    """This process among those that train together.

    Attributes:
        rank: its number, from 0.
        count: how many there are.
        device: that it computes on.
    """

    rank: int
    count: int
    device: torch.device

    @property
    def first(self) -> bool:
        """Whether it is the one that writes."""
        return self.rank == 0

    def share(self, batch_size: int, accumulate: int, name: str) -> slice:
        """Its places in a batch.

        Raises:
            FacsimileError: `batch_size`, called `name` in the error, cannot be divided.
        """
        if batch_size % (self.count * accumulate):
            raise FacsimileError(
                f"{name}: {batch_size} is no multiple of {self.count} processes × {accumulate} "
                "parts (accumulate)"
            )
        size = batch_size // self.count
        return slice(self.rank * size, (self.rank + 1) * size)

    @contextmanager
    def first_before_others(self) -> Iterator[None]:
        """The first runs the block alone, then the others, who find done what it did.

        Raises:
            FacsimileError: on the others, where the first has failed.
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

    def progress(
        self, name: str, total: int, unit: str
    ) -> AbstractContextManager[Callable[[int], None]]:
        """`tasks.shared.stage.progress`, told once."""
        return progress(name, total, unit) if self.first else nullcontext(lambda count: None)


def end_with_parent() -> None:
    """Have this process end, with all that it has started, as soon as its parent has.

    torchrun gives each process a session of its own: nobody ends them when it is killed outright.
    """
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(_SECONDS_BETWEEN_LOOKS)
        if os.getpgrp() == os.getpid():
            os.killpg(0, signal.SIGKILL)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


@contextmanager
def join(device: str) -> Iterator[Ranks]:
    """Join the others that torchrun started.

    Args:
        device: "cpu", "cuda" or "mps"; each process of a machine takes a GPU of its own. Several on
            the GPU of an Apple computer share its CPU: nothing sends tensors from there.
    """
    if "RANK" not in os.environ:
        yield Ranks(0, 1, torch.device(device))
        return
    end_with_parent()
    place = torch.device(device)
    if place.type == "cuda":
        place = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        torch.cuda.set_device(place)
    elif place.type == "mps":
        place = torch.device("cpu")
    distributed.init_process_group("nccl" if place.type == "cuda" else "gloo", timeout=PATIENCE)
    try:
        yield Ranks(distributed.get_rank(), distributed.get_world_size(), place)
    finally:
        distributed.destroy_process_group()
