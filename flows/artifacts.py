"""Prefect artifacts of a flow run: links, stages, metrics, contact sheet, report."""

import base64
import platform
from collections.abc import Callable
from pathlib import Path
from typing import Any

from prefect.artifacts import create_markdown_artifact, create_table_artifact

from flows.outputs import CONTACT_SHEET, REPORT, headline, read_metrics
from tasks.provenance.git import Revision


def publish(root: Path, reports: list[dict[str, Any]], revision: Revision, mlflow_page: str) -> str:
    """Publish all available artifacts. A failure to publish does not fail the run.

    Args:
        root: project folder.
        reports: one row per stage of the run.
        revision: code revision of the run.
        mlflow_page: where to find its MLflow run; empty if it has none.

    Returns:
        One line that names the artifacts not published and the reason; empty if all were published.
    """
    failures = []
    for key, artifact in (
        ("run", lambda: _run(root, revision, mlflow_page)),
        ("stages", lambda: _stages(reports)),
        ("metrics", lambda: _metrics(root, reports)),
        ("contact-sheet", lambda: _contact_sheet(root)),
        ("report", lambda: _report(root)),
    ):
        if reason := _attempt(artifact):
            failures.append((key, reason))
    if not failures:
        return ""
    keys = ", ".join(key for key, _ in failures)
    return f"Prefect artifacts not published: {keys} ({failures[0][1]})"


def _attempt(artifact: Callable[[], None]) -> str:
    """Publish one artifact. Returns the error in one line, or an empty string."""
    try:
        artifact()
    except Exception as error:
        return (str(error).strip().splitlines() or [type(error).__name__])[0]
    return ""


def _run(root: Path, revision: Revision, mlflow_page: str) -> None:
    """Where to find the run in the other tools."""
    commit = f"`{revision.commit}`" if revision.commit else f"unknown: {revision.unknown}"
    rows = {
        "project": f"`{root}` on {platform.node()}",
        "MLflow": mlflow_page or "no run: no stage ran",
        "code": f"{commit}{', with uncommitted changes' if revision.changed else ''}",
        "data": "`facsimile status` and `dvc.lock`, in the project",
    }
    if (root / REPORT).exists():
        rows["report"] = f"`{root / REPORT}`, also in the MLflow run"
    text = "\n".join(["| | |", "| --- | --- |", *(f"| {k} | {v} |" for k, v in rows.items())])
    create_markdown_artifact(text, key="run", description="This run in MLflow, git and DVC")


def _stages(reports: list[dict[str, Any]]) -> None:
    create_table_artifact(reports, key="stages", description="Stages of this run")


def _metrics(root: Path, reports: list[dict[str, Any]]) -> None:
    metrics = [
        {"stage": report["stage"], "metric": name, "value": value}
        for report in reports
        for name, value in read_metrics(root, report["stage"]).items()
    ]
    if metrics:
        create_table_artifact(metrics, key="metrics", description="Metrics of all stages")


def _contact_sheet(root: Path) -> None:
    if (root / CONTACT_SHEET).exists():
        # Embedded, because the server may not have access to this machine's files.
        image = base64.b64encode((root / CONTACT_SHEET).read_bytes()).decode()
        sheet = f"![real and generated faces](data:image/png;base64,{image})"
        create_markdown_artifact(sheet, key="contact-sheet", description="Generated faces")


def _report(root: Path) -> None:
    """Headline figures and the path of the report: the Prefect UI cannot link to a local file."""
    if (root / REPORT).exists():
        figures = headline(read_metrics(root, "evaluate"))
        rows = [f"| {name} | {value:.4g} |" for name, value in figures.items()]
        where = f"`{root / REPORT}` on {platform.node()}"
        text = "\n".join([where, "", "| figure | |", "| --- | --- |", *rows])
        create_markdown_artifact(text, key="report", description="Headline figures")
