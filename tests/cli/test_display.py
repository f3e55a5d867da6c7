"""What the command line shows: as it is, also where it looks like markup."""

import io
import json
from datetime import datetime

import pytest
from rich.console import Console

from cli.display import Display, JsonLines, summary
from flows import events
from flows.pipeline_run import StageReport

FOREIGN = "[/red] [Errno 28] No space left on device: 'a[b].png'"


def shown(table: object) -> str:
    console = Console(file=io.StringIO(), width=200)
    console.print(table)
    return console.file.getvalue()


def test_foreign_text_is_shown_as_it_is() -> None:
    display = Display(["a"], Console(file=io.StringIO()))
    display.on_event("a", events.RUNNING, FOREIGN)
    assert FOREIGN in shown(display.table())
    report = StageReport("a", "Failed", 1.0, FOREIGN, FOREIGN)
    assert shown(summary([report], 1.0)).count(FOREIGN) == 2


def test_waiting_for_another_run_is_shown_until_it_ends(
    capsys: pytest.CaptureFixture[str],
) -> None:
    display = Display(["a"], Console(file=io.StringIO()))
    display.on_event("", events.QUEUED, "waiting for nightly (process 7)")
    assert "waiting for nightly (process 7)" in shown(display.table())
    assert "waiting for nightly (process 7)" in capsys.readouterr().out
    display.on_event("a", events.RUNNING, "")
    assert "nightly" not in shown(display.table())


def test_json_lines(capsys: pytest.CaptureFixture[str]) -> None:
    with JsonLines() as lines:
        lines.on_event("a", events.RUNNING, FOREIGN)
        lines.conclude([StageReport("a", "Completed", 1.5, "faces 3", "", faces_per_second=2.0)])
    running, completed = map(json.loads, capsys.readouterr().out.splitlines())
    assert (running["stage"], running["state"], running["detail"]) == ("a", "running", FOREIGN)
    assert datetime.fromisoformat(running["time"]).tzinfo
    assert (completed["seconds"], completed["faces_per_second"]) == (1.5, 2.0)
