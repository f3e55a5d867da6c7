"""``facsimile retrain-ci``: retrain if something changed, compare with the champion, report."""

import os
from pathlib import Path
from typing import Annotated

import typer

from cli.failures import complain
from cli.model_commands import PANEL, Margin, Tolerance, print_decision, promotion_rule
from cli.run_commands import run_flow
from cli.shared import HERE, Root, console, examples, require_project
from tasks.shared.exit_codes import ExitCode

SUMMARY = "GITHUB_STEP_SUMMARY"
REPORT = Path("build/retraining.md")

commands = typer.Typer()


@commands.command(
    "retrain-ci",
    rich_help_panel=PANEL,
    epilog=examples(
        "facsimile retrain-ci --base main",
        "facsimile retrain-ci --base origin/main --no-promote",
        "make retrain-ci BASE=main",
    ),
)
def retrain_ci(
    base: Annotated[str, typer.Option(help="Branch or commit to compare with.")] = "main",
    promote: Annotated[
        bool,
        typer.Option(
            "--promote/--no-promote",
            help="Make a challenger that passes the champion, or only say that it would pass.",
        ),
    ] = True,
    margin: Margin = 0.02,
    au_tolerance: Tolerance = None,
    report: Annotated[
        Path | None,
        typer.Option(help=f"Markdown file to write; {REPORT} by default.", show_default=False),
    ] = None,
    root: Root = HERE,
) -> None:
    """Retrain if params, code or dvc.lock changed, and compare with the champion.

    Writes a Markdown report, also to the job summary of GitHub. Exits
    with 0 whether the challenger is promoted or refused, and with 1 if
    a stage failed.
    """
    require_project(root)
    rule = promotion_rule(margin, au_tolerance)
    from flows import dvc
    from flows.retraining import decide, find_changes, write_report

    retraining = find_changes(root, base)
    try:
        if retraining.changes:
            with console.status("fetching results"):
                missing = dvc.pull(root)
            if missing:
                retraining.notes.append(missing)
                complain(missing)
            retraining.stages, retraining.failure = run_flow(root, [])
            if not retraining.failure:
                with console.status("comparing with the champion"):
                    decide(root, retraining, rule, promote)
    except Exception as error:
        retraining.failure = str(error)
        raise
    finally:
        path = (report or root / REPORT).resolve()
        summary = os.environ.get(SUMMARY)
        write_report(root, retraining, path, Path(summary) if summary else None)
        print(f"{retraining.verdict}; report: {path}")
    if retraining.decision:
        print_decision(retraining.decision, promoted=promote)
    if retraining.failure:
        complain(retraining.failure)
        raise typer.Exit(ExitCode.FAILED)
