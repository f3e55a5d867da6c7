"""Prefect artifacts of a flow run: stages, metrics, contact sheet, report."""

import base64
from pathlib import Path
from typing import Any

from prefect.artifacts import (
    create_link_artifact,
    create_markdown_artifact,
    create_table_artifact,
)

from flows.outputs import REPORT, read_metrics

CONTACT_SHEET = Path("data/evaluate/contact_sheet.png")


def publish(root: Path, reports: list[dict[str, Any]]) -> None:
    """Publish what there is.

    Args:
        root: project folder.
        reports: one row for each stage of the run.
    """
    create_table_artifact(reports, key="stages", description="Stages of this run")
    metrics = [
        {"stage": report["stage"], "metric": name, "value": value}
        for report in reports
        for name, value in read_metrics(root, report["stage"]).items()
    ]
    if metrics:
        create_table_artifact(metrics, key="metrics", description="Metrics of all stages")
    if (root / CONTACT_SHEET).exists():
        # Embedded, because the server may not see this machine's files.
        image = base64.b64encode((root / CONTACT_SHEET).read_bytes()).decode()
        sheet = f"![real and generated faces](data:image/png;base64,{image})"
        create_markdown_artifact(sheet, key="contact-sheet", description="Generated faces")
    if (root / REPORT).exists():
        create_link_artifact((root / REPORT).as_uri(), key="report", link_text="report.html")
