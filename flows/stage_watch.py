"""Watch a running stage: memory, throughput, and whether it still makes progress.

Measured from outside, so that a stage that is killed for its memory has a peak as well.
"""

import re
import shutil
import subprocess
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Self

import psutil

_SECONDS_BETWEEN_SAMPLES = 1.0
_PROGRESS = re.compile(r"(?P<what>.*): (?P<done>[\d,]+) of [\d,]+ faces, ")
_QUERY = ("nvidia-smi", "--query-compute-apps=pid,used_memory", "--format=csv,noheader,nounits")


class StageWatch:
    """Context manager around the run of a stage.

    Args:
        log: called with each line that the stage prints.
        stall_seconds: time without a line after which the stage counts as stalled. Time during
            which the machine sleeps does not count.
        on_stall: called once per stall, in another thread.

    Attributes:
        peak_rss: highest memory of all its processes together, bytes. Pages that they share count
            once where the system reports that (Linux).
        peak_gpu: highest GPU memory of all its processes together, bytes.
    """

    def __init__(
        self, log: Callable[[str], None], stall_seconds: float, on_stall: Callable[[], None]
    ) -> None:
        self.peak_rss = 0
        self.peak_gpu = 0
        self._log = log
        self._stall_seconds = stall_seconds
        self._on_stall = on_stall
        self._faces: dict[str, int] = {}
        self._pid = 0
        self._begin = self._last_line = 0.0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._gpu = shutil.which(_QUERY[0]) is not None

    def __enter__(self) -> Self:
        self._begin = self._last_line = time.monotonic()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def started(self, pid: int) -> None:
        """The process of the stage has started."""
        self._pid = pid

    def line(self, text: str) -> None:
        """The stage has printed a line."""
        self._last_line = time.monotonic()
        if match := _PROGRESS.match(text):
            self._faces[match["what"]] = int(match["done"].replace(",", ""))
        self._log(text)

    def usage(self) -> dict[str, float]:
        """Metrics by name; those that could not be measured are missing."""
        seconds = max(time.monotonic() - self._begin, 1e-9)
        measured = {
            "peak_memory_mb": self.peak_rss / 1e6,
            "peak_gpu_memory_mb": self.peak_gpu / 1e6,
            "faces_per_second": sum(self._faces.values()) / seconds,
        }
        return {name: value for name, value in measured.items() if value}

    def _watch(self) -> None:
        reported = 0.0
        while not self._ended.wait(_SECONDS_BETWEEN_SAMPLES):
            processes = family(self._pid)
            self.peak_rss = max(self.peak_rss, sum(map(memory, processes)))
            if self._gpu:
                self.peak_gpu = max(self.peak_gpu, _gpu_memory({p.pid for p in processes}))
            since = self._last_line
            if time.monotonic() - since > self._stall_seconds and since != reported:
                reported = since
                self._on_stall()


def family(pid: int) -> list[psutil.Process]:
    """A process and all its descendants."""
    if not pid:
        return []
    with suppress(psutil.Error):
        process = psutil.Process(pid)
        return [process, *process.children(recursive=True)]
    return []


def memory(process: psutil.Process) -> int:
    """Memory of a process, bytes, 0 if it has ended; see `StageWatch.peak_rss`."""
    with suppress(psutil.Error):
        full = process.memory_full_info()
        return getattr(full, "pss", full.rss)
    return 0


def _gpu_memory(pids: set[int]) -> int:
    """GPU memory of processes, bytes; 0 if the driver does not say."""
    with suppress(OSError, ValueError, subprocess.TimeoutExpired):
        listed = subprocess.run(_QUERY, capture_output=True, text=True, timeout=5)
        rows = [line.split(",") for line in listed.stdout.splitlines()]
        return sum(int(used) for pid, used in rows if int(pid) in pids) * 2**20
    return 0
