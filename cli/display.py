"""Display of a flow on the command line: progress of its stages, then a summary."""

import json
import sys
import time
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from flows import events

if TYPE_CHECKING:
    from flows.pipeline_run import StageReport


@dataclass
class _Row:
    state: str = "waiting"
    detail: str = ""
    begin: float | None = None
    end: float | None = None


class Display:
    """Progress of a flow, stage by stage.

    A live table on a terminal; elsewhere one line per event.

    Args:
        stages: names of the stages, in the order of the rows.
        console: where the table is shown.
    """

    def __init__(self, stages: list[str], console: Console) -> None:
        self.console = console
        self.rows = {stage: _Row() for stage in stages}
        self.begin = time.monotonic()
        self.notice = ""
        self.live = Live(get_renderable=self.table, console=console, refresh_per_second=4)

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.begin

    def __enter__(self) -> "Display":
        if self.console.is_terminal:
            self.live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.console.is_terminal:
            self.live.stop()

    def on_event(self, stage: str, state: str, detail: str) -> None:
        """Handle an event of the flow; see `events.Listener`."""
        if state == events.QUEUED:
            self.notice = detail
            if not self.console.is_terminal:
                self._print(detail)
            return
        self.notice = ""
        row = self.rows[stage]
        changed = (row.state, row.detail) != (state, detail)
        if state == events.RUNNING and row.state != events.RUNNING:
            row.begin = time.monotonic()
        row.state, row.detail = state, detail
        if state not in (events.WAITING, events.RUNNING):
            row.end = time.monotonic()
        if changed and not self.console.is_terminal:
            self._print(f"{stage}: {detail or state}")

    def conclude(self, reports: "list[StageReport]") -> None:
        """Print the outcome of each stage."""
        self.console.print(summary(reports, self.seconds))

    def table(self) -> Table:
        """The current state of all stages."""
        title = f"{self.seconds:.0f} s"
        table = Table("stage", "state", "time", box=None, title=title)
        table.add_column(Text(self.notice))
        for stage, row in self.rows.items():
            spent = (
                "" if row.begin is None else f"{(row.end or time.monotonic()) - row.begin:.0f} s"
            )
            table.add_row(stage, coloured(row.state), spent, Text(row.detail))
        return table

    def _print(self, line: str) -> None:
        # A single write: stages report from several threads.
        sys.stdout.write(f"[{self.seconds:4.0f} s] {line}\n")
        sys.stdout.flush()


class JsonLines:
    """Progress and outcome of a flow as JSON lines on standard output, for collectors of logs.

    Each line has ``time`` (ISO 8601), ``stage`` (empty for the run), ``state`` and ``detail``. The
    last lines, one per stage, hold the fields of its `StageReport`.
    """

    def __init__(self) -> None:
        self.begin = time.monotonic()

    def __enter__(self) -> "JsonLines":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def on_event(self, stage: str, state: str, detail: str) -> None:
        """Handle an event of the flow; see `events.Listener`."""
        self._print(stage=stage, state=state, detail=detail)

    def conclude(self, reports: "list[StageReport]") -> None:
        """Print the outcome of each stage."""
        for report in reports:
            self._print(**asdict(report))

    def _print(self, **fields: object) -> None:
        now = datetime.now().astimezone().isoformat(timespec="milliseconds")
        sys.stdout.write(json.dumps({"time": now, **fields}, ensure_ascii=False) + "\n")
        sys.stdout.flush()


def summary(reports: "list[StageReport]", seconds: float) -> Table:
    """The outcome of each stage of a flow that took `seconds`."""
    table = Table(
        "stage",
        "state",
        "time",
        "key figure",
        "because",
        title=f"{seconds:.0f} s in total",
        box=None,
    )
    for row in reports:
        spent = f"{row.seconds:.0f} s" if row.seconds else ""
        # Text, not markup: file names and messages of other tools may contain brackets.
        figure, reason = Text(row.key_figure), Text(row.reason)
        table.add_row(row.stage, coloured(row.state), spent, figure, reason)
    return table


def coloured(state: str) -> Text:
    """The name of a state in its colour."""
    colours = {
        "Completed": "green",
        "Cached": "cyan",
        "Failed": "bold red",
        "Crashed": "bold red",
        "up to date": "green",
        "frozen": "cyan",
        "changed": "yellow",
        "replaced": "bold red",
        "uncached": "yellow",
        "behind": "yellow",
        events.RUNNING: "bold yellow",
    }
    return Text(state, colours.get(state, "dim"))
