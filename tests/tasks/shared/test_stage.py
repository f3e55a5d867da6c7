"""What all stages share: options, atomic output, progress and how they end."""

import errno
import json
from collections.abc import Callable
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from facsimile.errors import FacsimileError
from tasks.params import EditParams
from tasks.shared import stage

COMPUTE = stage.Compute("cpu", batch_size=4, workers=1)


@pytest.fixture
def run_as_command(
    tmp_path: Path, write_params: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., int]:
    """Runs a stage function as ``python -m tasks.edit ARGUMENTS``; returns the exit status."""
    write_params()
    monkeypatch.chdir(tmp_path)

    def command(run: Callable[..., Any], *arguments: str) -> int:
        monkeypatch.setattr("sys.argv", ["edit", *arguments])
        try:
            stage.main("edit", run)
        except SystemExit as end:
            return end.code
        return 0

    return command


def test_output_appears_as_a_whole(run_as_command: Callable[..., int]) -> None:
    def run(out: Path, compute: stage.Compute, edit: EditParams) -> dict[str, Any]:
        assert not Path("data/edit").exists()
        (out / "faces").write_text("faces")
        return {"intensity": edit.intensity, "undefined": np.float32("nan")}

    assert run_as_command(run) == 0
    assert Path("data/edit/faces").read_text() == "faces"
    metrics = json.loads(Path("data/edit/metrics.json").read_text())
    assert metrics == {"intensity": [0.3, 1.0], "undefined": None}


def test_compiling_is_asked_for(
    run_as_command: Callable[..., int], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def run(out: Path, compute: stage.Compute) -> dict[str, Any]:
        asked.append(compute.compile)
        return {}

    run_as_command(run)
    run_as_command(run, "--compile")
    monkeypatch.setenv("FACSIMILE_COMPILE", "1")
    run_as_command(run)
    assert asked == [False, True, True]


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (FacsimileError("no neutral\nface"), 2, "facsimile: no neutral face\n"),
        (MemoryError(), 75, "facsimile: out of memory at batch size 8\n"),
        (torch.OutOfMemoryError("CUDA out of memory"), 75, "facsimile: out of memory"),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate"), 75, "facsimile: out"),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), 75, "facsimile: out of memory"),
        (BrokenProcessPool("a child was killed"), 75, "facsimile: out of memory"),
        (OSError(errno.ENOSPC, "No space left on device"), 2, "facsimile: disk full: "),
        (PermissionError(errno.EACCES, "no", "data/x"), 2, "facsimile: data/x: permission denied"),
    ],
)
def test_failures_end_in_one_line_and_leave_nothing(
    run_as_command: Callable[..., int],
    capsys: pytest.CaptureFixture[str],
    error: Exception,
    code: int,
    line: str,
) -> None:
    def run(out: Path, compute: stage.Compute) -> dict[str, Any]:
        (out / "faces").write_text("half")
        raise error

    assert run_as_command(run, "--batch-size", "8") == code
    assert capsys.readouterr().err.startswith(line)
    assert list(Path("data").iterdir()) == []


def test_bugs_keep_their_traceback(run_as_command: Callable[..., int]) -> None:
    def run(out: Path, compute: stage.Compute) -> dict[str, Any]:
        raise RuntimeError("shapes differ")

    with pytest.raises(RuntimeError, match="shapes differ"):
        run_as_command(run)


def test_bad_params_end_before_the_stage(
    run_as_command: Callable[..., int],
    write_params: Callable[..., Path],
    capsys: pytest.CaptureFixture[str],
) -> None:
    def run(out: Path, compute: stage.Compute, edit: EditParams) -> dict[str, Any]:
        raise AssertionError("begun")

    write_params({"edit.intensity": 7})
    assert run_as_command(run) == 2
    assert "params.yaml: edit.intensity: 7" in capsys.readouterr().err


def test_params_changed_meanwhile_spoil_the_result_of_what_reads_them(
    run_as_command: Callable[..., int],
    write_params: Callable[..., Path],
    capsys: pytest.CaptureFixture[str],
) -> None:
    def run(out: Path, compute: stage.Compute, edit: EditParams) -> dict[str, Any]:
        write_params({"edit.intensity": 0.5})
        return {}

    assert run_as_command(run) == 2
    assert "facsimile: params.yaml: edit changed while the stage ran" in capsys.readouterr().err
    assert list(Path("data").iterdir()) == []
    # Sections that a stage does not read may change.
    write_params()
    assert run_as_command(lambda out, compute: (write_params({"edit.seed": 9}), {})[1]) == 0


def test_a_warning_about_files_does_not_name_a_line_of_code() -> None:
    tell = stage._format_warning
    assert tell("faces.csv: x", UserWarning, stage.__file__, 7) == "faces.csv: x"
    elsewhere = tell("y", UserWarning, "/elsewhere/torch.py", 7)
    assert elsewhere.startswith("/elsewhere/torch.py:7: UserWarning: y")


def test_batch_size_from_option_environment_and_scale(
    run_as_command: Callable[..., int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FACSIMILE_WORKERS", "8")
    seen = []
    workers = []

    def run(out: Path, compute: stage.Compute) -> dict[str, Any]:
        seen.append(compute.batch_size)
        workers.append(compute.workers)
        return {}

    run_as_command(run)
    run_as_command(run, "--batch-size", "48")
    monkeypatch.setenv("FACSIMILE_BATCH_SIZE", "32")
    run_as_command(run)
    monkeypatch.setenv("FACSIMILE_BATCH_SCALE", "0.25")
    run_as_command(run)
    monkeypatch.setenv("FACSIMILE_BATCH_SCALE", "0.001")
    run_as_command(run)
    assert seen == [64, 48, 32, 8, 1]
    assert workers[:3] == [8, 8, 8] and workers[3:] == [2, 1]


def test_sections_are_the_further_parameters() -> None:
    def run(out: Path, compute: stage.Compute, datasets: Any, edit: Any) -> dict[str, Any]:
        return {}

    assert stage.sections_of(run) == ("datasets", "edit")


def test_operate_keeps_every_row_in_order(capsys: pytest.CaptureFixture[str]) -> None:
    rows = pd.DataFrame({"x": range(10)}, index=range(100, 110))
    sizes = []

    def double(batch: pd.DataFrame) -> pd.DataFrame:
        assert list(batch.index) == list(range(len(batch)))
        sizes.append(len(batch))
        return batch * 2

    result = pd.concat(stage.operate(double, rows, COMPUTE, "double"))
    assert sizes == [4, 4, 2]
    assert result["x"].tolist() == list(range(0, 20, 2))
    assert capsys.readouterr().err.startswith("double: 10 of 10 faces, ")


def test_checks_before_and_after(
    run_as_command: Callable[..., int], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    def before() -> None:
        seen.append(Path("data/edit").exists())

    def after(out: Path) -> None:
        seen.append((out / "metrics.json").exists() and not Path("data/edit").exists())

    main = stage.main
    monkeypatch.setattr(stage, "main", partial(main, before=before, after=after))
    assert run_as_command(lambda out, compute: {}) == 0
    assert seen == [False, True]
