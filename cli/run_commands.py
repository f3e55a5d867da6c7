"""``facsimile demo``, ``run``, ``status`` and ``verify``: run the pipeline and check its files."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.table import Table
from rich.text import Text

from cli.display import Display, JsonLines, coloured
from cli.failures import complain
from cli.result_commands import print_report
from cli.shared import HERE, Root, console, examples, require_project
from facsimile.errors import FacsimileError
from flows import events
from tasks.shared.exit_codes import ExitCode

if TYPE_CHECKING:
    from flows.pipeline_run import StageReport

PANEL = "Run the pipeline"
PAPER_REPORT = Path("data/paper/report.html")
PAPER_RESULTS = Path("data/paper/results.json")
EDITOR_REPORT = Path("data/editor_benchmark/report.html")
EDITOR_RESULTS = Path("data/editor_benchmark/results.json")

commands = typer.Typer()

FlowName = Literal["regenerate", "paper", "editors"]
LogJson = Annotated[
    bool, typer.Option("--log-json", help="Print progress as JSON lines instead of a table.")
]


@commands.command(
    rich_help_panel=PANEL,
    epilog=examples(
        "facsimile demo",
        "FACSIMILE_BATCH_SIZE=16 facsimile demo",
        "facsimile demo --dataset plain-table",
        "make demo DATASET=plain-table",
    ),
)
def demo(
    root: Root = HERE,
    dataset: Annotated[
        Literal["world", "plain-table"],
        typer.Option(
            help="Where the faces come from. world: the datasets of params.yaml, by default the "
            "embedded 3D world. plain-table: the same faces, exported to images and CSV files and "
            "read back by a separate project in build/plain-table."
        ),
    ] = "world",
    log_json: LogJson = False,
) -> None:
    """Run the whole pipeline and print the path of the report.

    Stages whose inputs have not changed are skipped.
    """
    require_project(root)
    from tasks.provenance.dvc_files import LOCK

    if not (log_json or (root / LOCK).exists()):
        console.print(
            "first run: all stages, from reading faces to the report; on the embedded world, 15 to "
            "20 minutes with two CPU cores"
        )
    if dataset == "plain-table":
        conduct(root, ["ingest"], log_json)
        from flows.demo import plain_table_project

        root = plain_table_project(root)
    conduct(root, [], log_json)
    if not log_json:
        print_report(root)


@commands.command(
    rich_help_panel=PANEL,
    epilog=examples(
        "facsimile paper",
        "facsimile paper --preset full",
        "FACSIMILE_DEVICE=cuda facsimile paper --preset full",
    ),
)
def paper(
    root: Root = HERE,
    preset: Annotated[
        Literal["small", "full"] | None,
        typer.Option(
            help="Write these values to params.yaml first. small: what two CPU cores do in about "
            "an hour, the values that params.yaml comes with. full: more people, faces and "
            "repeats, for a GPU.",
            show_default=False,
        ),
    ] = None,
    log_json: LogJson = False,
) -> None:
    """Measure every claim of the paper, and print the path of the report.

    Runs the pipeline first if it is not up to date. Stages whose inputs have not changed are
    skipped.
    """
    require_project(root)
    if preset:
        from flows.presets import apply_preset

        for change in apply_preset(root, preset):
            console.print(f"params.yaml: {change}", markup=False)
    conduct(root, [], log_json, flow="paper")
    if not log_json:
        console.print(f"report: {(root / PAPER_REPORT).resolve()}", markup=False, soft_wrap=True)
        console.print(f"figures: {(root / PAPER_RESULTS).resolve()}", markup=False, soft_wrap=True)


@commands.command(
    rich_help_panel=PANEL,
    epilog=examples("facsimile editors", "FACSIMILE_DEVICE=cuda facsimile editors"),
)
def editors(root: Root = HERE, log_json: LogJson = False) -> None:
    """Compare all editors on the same new people, and print the path of the report.

    Fits each editor, measures its edits against exact targets, and trains detectors on its faces.
    Stages whose inputs have not changed are skipped.
    """
    require_project(root)
    conduct(root, [], log_json, flow="editors")
    if not log_json:
        console.print(f"report: {(root / EDITOR_REPORT).resolve()}", markup=False, soft_wrap=True)
        console.print(f"figures: {(root / EDITOR_RESULTS).resolve()}", markup=False, soft_wrap=True)


@commands.command(
    rich_help_panel=PANEL,
    epilog=examples(
        "facsimile run edit",
        "facsimile run train evaluate",
        "facsimile run evaluate --log-json > run.jsonl",
    ),
)
def run(
    stages: Annotated[list[str], typer.Argument(help="Stages of dvc.yaml.", metavar="STAGE...")],
    root: Root = HERE,
    log_json: LogJson = False,
) -> None:
    """Bring stages, and everything they depend on, up to date."""
    conduct(root, stages, log_json)
    if "evaluate" in stages and not log_json:
        print_report(root)


@commands.command(
    rich_help_panel=PANEL,
    epilog=examples("facsimile status", "facsimile status --all"),
)
def status(
    root: Root = HERE,
    all_: Annotated[
        bool,
        typer.Option(
            "--all",
            help="Include the stages that only `facsimile paper` and `facsimile editors` need.",
        ),
    ] = False,
) -> None:
    """Show which stages are up to date, which would run, and why.

    Runs nothing, and works while another run is in progress.
    """
    require_project(root)
    from flows.outputs import key_figure
    from flows.status import stage_states

    table = Table("stage", "state", "because", "key figure", box=None)
    for row in stage_states(root, all_):
        why, figure = Text(row.why), Text(key_figure(root, row.stage))
        table.add_row(row.stage, coloured(row.state), why, figure)
    _warn_without_git(root)
    console.print(table)


@commands.command(
    rich_help_panel=PANEL,
    epilog=examples("facsimile verify", "facsimile verify --repair"),
)
def verify(
    root: Root = HERE,
    repair: Annotated[
        bool,
        typer.Option(
            "--repair", help="Delete corrupt files; the next run restores or regenerates them."
        ),
    ] = False,
) -> None:
    """Hash all results and their cached copies, and list corrupt and missing files.

    Exits with 1 if there are any. Waits for a run in progress.
    """
    require_project(root)
    from flows.project_lock import project_lock
    from flows.verification import HashingProgress, Verification, remove

    root = root.resolve()
    with console.status("verifying") as status:
        progress = HashingProgress(
            lambda files, size: status.update(f"verifying: {files:,} files, {size / 1e6:,.0f} MB")
        )
        with project_lock(root, "verify", lambda holder: status.update(f"waiting for {holder}")):
            faults = list(Verification(root, progress).faults())
            deleted = remove(root, faults) if repair else []
    for fault in faults:
        console.print(f"{fault.stage}: {fault.path}: {fault.problem}", markup=False, soft_wrap=True)
    corrupt = sum(fault.corrupt for fault in faults)
    console.print(
        f"{progress.files:,} files, {progress.bytes / 1e6:,.0f} MB: {corrupt} corrupt, "
        f"{len(faults) - corrupt} missing"
    )
    if deleted:
        console.print(f"deleted {len(deleted)}; `facsimile demo` restores or regenerates them")
    elif corrupt:
        complain("`facsimile verify --repair` deletes corrupt files")
    if faults and not deleted:
        raise typer.Exit(ExitCode.FAILED)


def conduct(
    root: Path, targets: list[str], log_json: bool = False, flow: FlowName = "regenerate"
) -> None:
    """Run a flow, see `run_flow`. Raises typer.Exit if a stage failed."""
    _, failure = run_flow(root, targets, log_json, flow)
    if failure:
        complain(failure)
        raise typer.Exit(ExitCode.FAILED)


def run_flow(
    root: Path, targets: list[str], log_json: bool = False, flow: FlowName = "regenerate"
) -> "tuple[list[StageReport], str]":
    """Run a flow and show its progress and outcome.

    Args:
        root: project folder.
        targets: stages that `regenerate` brings up to date; none for all of its own. Other flows
            have their own targets.
        log_json: print JSON lines, not a table.
        flow: of `flows.conductor`.

    Returns:
        The outcome of each stage, and why the first that failed did; empty if none failed.

    Raises:
        FacsimileError: `root` is not a project, params.yaml or dvc.yaml is invalid, or no server
            answers.
    """
    require_project(root)
    from flows import server
    from flows.graph import FLOW_TARGETS, needed_by, read_graph
    from tasks.params import PARAMS, read_params

    # Bad params are reported now, not after the server has started.
    read_params(root / PARAMS)
    targets = targets or list(FLOW_TARGETS[flow])
    stages = needed_by(read_graph(root, extra=True), targets)
    _warn_without_git(root)

    # The table replaces Prefect's own log on the console; its server still gets the log.
    os.environ.setdefault("PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL", "CRITICAL")
    with console.status("starting"):
        server.connect(root)
    display = JsonLines() if log_json else Display(stages, console)
    from httpx import TransportError

    from flows import conductor

    try:
        with display, events.subscribed(display.on_event):
            if flow == "regenerate":
                state = conductor.regenerate(targets=targets, root=str(root), return_state=True)
            else:
                state = getattr(conductor, flow)(root=str(root), return_state=True)
        reports = state.result(raise_on_failure=False)
        if isinstance(reports, BaseException):  # the flow itself failed, not a stage
            raise reports
    except TransportError as error:
        raise FacsimileError(
            f"the Prefect server stopped responding during the run ({error}); finished stages are "
            "kept: run it again"
        ) from error
    display.conclude(reports)
    return reports, state.message if state.is_failed() else ""


def _warn_without_git(root: Path) -> None:
    from flows import state_folder

    if not state_folder.is_under_git(root):
        complain(
            f"{root.resolve()} is not under git: everything runs, but results cannot be traced "
            "to a commit"
        )
