"""Run a stage as a command: options, params, atomic output, progress and exit status.

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
from collections.abc import Callable, Collection, Iterator, Mapping
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
from tasks.shared.faults import explain_faults
from tasks.shared.machine import DEVICE_HELP, count_processors, find_device, find_number

_SECONDS_BETWEEN_LINES = 5.0


@dataclass(frozen=True)
class Compute:
    """Device, batch size and parallelism of a stage; results do not depend on them.

    Attributes:
        device: "cpu", "cuda" or "mps".
        batch_size: faces per batch.
        workers: processes that render or train in parallel; to keep all workers busy, up to (but
            not including) twice as many detectors may be trained at once.
        compile: whether to compile the generator, which takes a minute or more.
    """

    device: str
    batch_size: int
    workers: int
    compile: bool = False


def main(
    name: str,
    run: Callable[..., Mapping[str, Any]],
    *,
    items: Collection[str] = (),
    before: Callable[[], None] = lambda: None,
    after: Callable[[Path], None] = lambda out: None,
) -> None:
    """Run one stage as a command and exit.

    Args:
        name: name of the stage; its output folder is ``data/<name>``.
        items: values of the stage's ``matrix``. One of them is the argument of the command and a
            parameter ``item`` of `run`; its output folder is ``data/<name>/<item>``.
        run: ``run(out, compute, **sections) -> metrics``. It writes into the folder `out`, which
            becomes ``data/<name>`` on success. Each further parameter is named after a section of
            params.yaml and receives it.
        before: checks the inputs of the stage. `before` and `after` must not affect results,
            because DVC does not track which sections of params.yaml they read.
        after: checks the output; called with the folder that becomes ``data/<name>``.
    """
    summary = inspect.getdoc(sys.modules[run.__module__]).splitlines()[0]
    logging.captureWarnings(True)
    warnings.formatwarning = _format_warning
    logging.basicConfig(format="%(message)s", level=logging.WARNING)
    raise_on_signals()
    try:
        compute, item = _parse(name, summary, items)
        folder = DATA / name / item
        sections = _read_sections(run)
        # The inner `explain_faults` measures free disk space before the partial output is removed.
        with explain_faults(), atomic_directory(folder) as out, explain_faults():
            remove_leftovers(folder.parent)
            begin = time.monotonic()
            before()
            metrics = run(out, compute, **sections, **({"item": item} if item else {}))
            write_json(out / "metrics.json", metrics)
            _check_params_unchanged(run, sections)
            after(out)
        print(
            f"{folder.relative_to(DATA)}: done in {time.monotonic() - begin:.0f} s", file=sys.stderr
        )
    except FacsimileError as error:
        print(f"facsimile: {error}", file=sys.stderr)
        sys.exit(ExitCode.BAD_INPUT)
    except (MemoryError, RuntimeError, OSError) as error:
        if not is_out_of_memory(error):
            raise
        print(f"facsimile: out of memory at batch size {compute.batch_size}", file=sys.stderr)
        sys.exit(ExitCode.OUT_OF_MEMORY)


_DEFAULT_FORMAT = warnings.formatwarning
_OUR_CODE = tuple(Path(__file__).parents[2] / package for package in ("facsimile", "tasks"))


def _format_warning(
    message: Warning | str, category: type[Warning], file: str, line: int, text: str | None = None
) -> str:
    """Our own warnings are about user files, so they are shown without a code location."""
    if category is UserWarning and any(Path(file).is_relative_to(folder) for folder in _OUR_CODE):
        return str(message)
    return _DEFAULT_FORMAT(message, category, file, line, text)


def _read_sections(run: Callable[..., Any]) -> dict[str, Section]:
    """The sections that `run` takes as parameters, validated by their annotated types."""
    models = get_type_hints(run)
    return {name: read_section(PARAMS, name, models[name]) for name in sections_of(run)}


def _check_params_unchanged(run: Callable[..., Any], sections: Mapping[str, Section]) -> None:
    """Raise FacsimileError if params.yaml has changed since the stage read it.

    DVC records the file as it is when the stage ends, which would not match the result.
    """
    current = _read_sections(run)
    if changed := [name for name in sections if current[name] != sections[name]]:
        raise FacsimileError(
            f"{PARAMS}: {', '.join(changed)} changed while the stage ran, so the result does not "
            "match the file; run it again"
        )


def sections_of(run: Callable[..., Any]) -> tuple[str, ...]:
    """Sections of params.yaml that a stage reads: the names of its further parameters."""
    return tuple(name for name in list(inspect.signature(run).parameters)[2:] if name != "item")


def _parse(name: str, summary: str, items: Collection[str]) -> tuple[Compute, str]:
    """Options of the command, and its item; empty for a stage without a matrix."""
    environment = os.environ.get
    parser = argparse.ArgumentParser(prog=f"python -m tasks.{name}", description=summary)
    if items:
        parser.add_argument("item", choices=sorted(items), metavar="ITEM", help=", ".join(items))
    parser.add_argument("--device", help=DEVICE_HELP)
    parser.add_argument(
        "--batch-size",
        type=int,
        default=find_number("FACSIMILE_BATCH_SIZE", 64),
        help="faces per batch (default: %(default)s, or FACSIMILE_BATCH_SIZE)",
    )
    parser.add_argument(
        "--workers",
        type=int,
        default=find_number("FACSIMILE_WORKERS", count_processors()),
        help="parallel processes (default: %(default)s, or FACSIMILE_WORKERS)",
    )
    parser.add_argument(
        "--compile",
        action="store_true",
        default=environment("FACSIMILE_COMPILE", "0") == "1",
        help="compile the generator (default: %(default)s, or FACSIMILE_COMPILE=1)",
    )
    arguments = parser.parse_args()
    # The flow lowers the scale after an out-of-memory failure.
    scale = float(environment("FACSIMILE_BATCH_SCALE", "1"))
    compute = Compute(
        find_device(arguments.device),
        max(1, int(arguments.batch_size * scale)),
        max(1, int(arguments.workers * scale)),
        arguments.compile,
    )
    return compute, arguments.item if items else ""


def is_out_of_memory(error: Exception) -> bool:
    """Whether an error of torch, NumPy or the system means that memory ran out."""
    # A worker process that dies without an error was most likely killed for its memory.
    if isinstance(error, (MemoryError, torch.OutOfMemoryError, BrokenProcessPool)):
        return True
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    # torch's CPU allocator raises a plain RuntimeError.
    return "DefaultCPUAllocator" in str(error) or "out of memory" in str(error)


def write_json(path: Path, values: Mapping[str, Any]) -> None:
    """Write JSON with NumPy scalars as numbers and NaN as null."""
    path.write_text(json.dumps(to_json(values), indent=2) + "\n")


@contextmanager
def progress(name: str, total: int, unit: str = "faces") -> Iterator[Callable[[int], None]]:
    """Show progress with rate and remaining time; yields ``advance(count)``.

    Shows a bar on a terminal, otherwise a line every few seconds.
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
    yield _progress_lines(name, total, unit)


def _progress_lines(name: str, total: int, unit: str) -> Callable[[int], None]:
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
    """Apply a batch operator to a table, batch by batch."""
    with progress(name, len(rows)) as advance:
        for start in range(0, len(rows), compute.batch_size):
            batch = rows.iloc[start : start + compute.batch_size].reset_index(drop=True)
            yield operator(batch)
            advance(len(batch))
