"""What all stages share: options, params, atomic output, progress, and how they end.

The exit status is one of `tasks.shared.exit_codes.ExitCode`.
"""

import argparse
import errno
import inspect
import json
import logging
import os
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_type_hints

import pandas as pd
import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from facsimile.errors import FacsimileError
from facsimile.faces.tables import atomic_directory
from facsimile.files import to_json
from tasks.params import PARAMS, Section, read_section
from tasks.shared.artefacts import DATA
from tasks.shared.endings import raise_on_signals, remove_leftovers
from tasks.shared.exit_codes import ExitCode
from tasks.shared.faults import faults_told
from tasks.shared.machine import DEVICE_HELP, count_processors, find_device, find_number

_SECONDS_BETWEEN_LINES = 5.0


@dataclass(frozen=True)
class Compute:
    """Where and in what portions a stage computes; its result does not depend on it.

    Attributes:
        device: "cpu", "cuda" or "mps".
        batch_size: faces at once.
        workers: processes that render or train side by side; fewer than twice as many detectors are
            trained at once where some workers would otherwise be idle for the last of them.
        compile: whether the generator is compiled, which takes a minute or more.
    """

    device: str
    batch_size: int
    workers: int
    compile: bool = False


def main(
    name: str,
    run: Callable[..., Mapping[str, Any]],
    *,
    before: Callable[[], None] = lambda: None,
    after: Callable[[Path], None] = lambda out: None,
) -> None:
    """Run one stage as a command and end the process.

    Args:
        name: of the stage; its output folder is ``data/<name>``.
        before: checks what the stage reads. Neither this nor `after` changes a result, so DVC need
            not know which sections of params.yaml they read.
        after: checks what is written, in the folder that is about to become ``data/<name>``.
        run: ``run(out, compute, **sections) -> metrics``. It writes into the folder `out`, which
            becomes ``data/<name>`` when all is done. Each further parameter is named after a
            section of params.yaml and receives it.
    """
    summary = inspect.getdoc(sys.modules[run.__module__]).splitlines()[0]
    logging.captureWarnings(True)
    warnings.formatwarning = _format_warning
    logging.basicConfig(format="%(message)s", level=logging.WARNING)
    raise_on_signals()
    try:
        compute = _parse(name, summary)
        sections = _read_sections(run)
        # The inner one tells how full a disk is before what was written there is removed again.
        with faults_told(), atomic_directory(DATA / name) as out, faults_told():
            remove_leftovers(DATA)
            begin = time.monotonic()
            before()
            metrics = run(out, compute, **sections)
            write_json(out / "metrics.json", metrics)
            _refuse_changed_params(run, sections)
            after(out)
        print(f"{name}: done in {time.monotonic() - begin:.0f} s", file=sys.stderr)
    except FacsimileError as error:
        print(f"facsimile: {error}", file=sys.stderr)
        sys.exit(ExitCode.BAD_INPUT)
    except (MemoryError, RuntimeError, OSError) as error:
        if not is_out_of_memory(error):
            raise
        print(f"facsimile: out of memory with batches of {compute.batch_size}", file=sys.stderr)
        sys.exit(ExitCode.OUT_OF_MEMORY)


_PLACED = warnings.formatwarning
_OURS = tuple(Path(__file__).parents[2] / package for package in ("facsimile", "tasks"))


def _format_warning(
    message: Warning | str, category: type[Warning], file: str, line: int, text: str | None = None
) -> str:
    """A warning of ours is about somebody's files, and needs no place in the code."""
    if category is UserWarning and any(Path(file).is_relative_to(folder) for folder in _OURS):
        return str(message)
    return _PLACED(message, category, file, line, text)


def _read_sections(run: Callable[..., Any]) -> dict[str, Section]:
    """The sections that `run` has parameters for, checked by the models that annotate these."""
    models = get_type_hints(run)
    return {name: read_section(PARAMS, name, models[name]) for name in sections_of(run)}


def _refuse_changed_params(run: Callable[..., Any], sections: Mapping[str, Section]) -> None:
    """Raise FacsimileError if params.yaml is not as it was when the stage began.

    DVC records the file when the stage has ended, as if the result were made with it.
    """
    now = _read_sections(run)
    if changed := [name for name in sections if now[name] != sections[name]]:
        raise FacsimileError(
            f"{PARAMS}: {', '.join(changed)} changed while the stage ran, so that its result is "
            "not that of the file; run it again"
        )


def sections_of(run: Callable[..., Any]) -> tuple[str, ...]:
    """Sections of params.yaml that a stage reads."""
    return tuple(inspect.signature(run).parameters)[2:]


def _parse(name: str, summary: str) -> Compute:
    environment = os.environ.get
    parser = argparse.ArgumentParser(prog=f"python -m tasks.{name}", description=summary)
    parser.add_argument("--device", help=DEVICE_HELP)
    parser.add_argument(
        "--batch-size",
        type=int,
        default=find_number("FACSIMILE_BATCH_SIZE", 64),
        help="faces at once (default: %(default)s, or FACSIMILE_BATCH_SIZE)",
    )
    parser.add_argument(
        "--workers",
        type=int,
        default=find_number("FACSIMILE_WORKERS", count_processors()),
        help="processes side by side (default: %(default)s, or FACSIMILE_WORKERS)",
    )
    parser.add_argument(
        "--compile",
        action="store_true",
        default=environment("FACSIMILE_COMPILE", "0") == "1",
        help="compile the generator (default: %(default)s, or FACSIMILE_COMPILE=1)",
    )
    arguments = parser.parse_args()
    # A conductor lowers this when memory ran out. Results depend on neither.
    scale = float(environment("FACSIMILE_BATCH_SCALE", "1"))
    return Compute(
        find_device(arguments.device),
        max(1, int(arguments.batch_size * scale)),
        max(1, int(arguments.workers * scale)),
        arguments.compile,
    )


def is_out_of_memory(error: Exception) -> bool:
    """Whether an error of torch, NumPy or the system says that memory ran out."""
    # A worker process that ends without a word has most likely been killed for its memory.
    if isinstance(error, (MemoryError, torch.OutOfMemoryError, BrokenProcessPool)):
        return True
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    # The CPU allocator of torch raises a plain RuntimeError.
    return "DefaultCPUAllocator" in str(error) or "out of memory" in str(error)


def write_json(path: Path, values: Mapping[str, Any]) -> None:
    """Write plain JSON: NumPy scalars unwrapped, NaN as null."""
    path.write_text(json.dumps(to_json(values), indent=2) + "\n")


@contextmanager
def progress(name: str, total: int, unit: str = "faces") -> Iterator[Callable[[int], None]]:
    """Report progress with rate and remaining time; yields ``advance(count)``.

    A bar on a terminal; elsewhere a line every few seconds.
    """
    console = Console(stderr=True)
    if console.is_terminal:
        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(),
        )
        begin = time.monotonic()
        with Progress(*columns, console=console) as bar:
            task = bar.add_task(name, total=total, rate="")

            def advance(count: int) -> None:
                done = bar.tasks[0].completed + count
                rate = done / max(time.monotonic() - begin, 1e-9)
                bar.update(task, completed=done, rate=f"{rate:,.1f} {unit}/s")

            yield advance
        return
    yield _lines(name, total, unit)


def _lines(name: str, total: int, unit: str) -> Callable[[int], None]:
    begin = last = time.monotonic()
    done = 0

    def advance(count: int) -> None:
        nonlocal done, last
        done += count
        now = time.monotonic()
        if done < total and now - last < _SECONDS_BETWEEN_LINES:
            return
        last = now
        rate = done / max(now - begin, 1e-9)
        left = f", {max(total - done, 0) / max(rate, 1e-9):.0f} s left" if done < total else ""
        print(f"{name}: {done:,} of {total:,} {unit}, {rate:,.1f}/s{left}", file=sys.stderr)

    return advance


def operate(
    operator: Callable[[pd.DataFrame], pd.DataFrame],
    rows: pd.DataFrame,
    compute: Compute,
    name: str,
) -> Iterator[pd.DataFrame]:
    """Map a table through a batch operator, batch by batch."""
    with progress(name, len(rows)) as advance:
        for start in range(0, len(rows), compute.batch_size):
            batch = rows.iloc[start : start + compute.batch_size].reset_index(drop=True)
            yield operator(batch)
            advance(len(batch))
