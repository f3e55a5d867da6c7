"""``facsimile serve`` and ``sync-mlflow``: leave the pipeline running."""

from typing import Annotated

import typer
from rich.table import Table

from cli.shared import HERE, Root, console, examples, require_project
from facsimile.errors import FacsimileError

PANEL = "Operate"

commands = typer.Typer()


@commands.command(
    rich_help_panel=PANEL,
    epilog=examples(
        "facsimile serve",
        "facsimile serve --port 8080",
        "FACSIMILE_ALERT_WEBHOOK=https://hooks.example.com/… facsimile serve",
    ),
)
def serve(
    root: Root = HERE,
    port: Annotated[
        int, typer.Option(help="Port of the Prefect server, on this machine only.", min=1)
    ] = 4200,
) -> None:
    """Run the pipeline on the schedule of params.yaml, until interrupted.

    Starts a Prefect server, unless one is configured. Runs that became due in the meantime start
    at once. Runs that fail, crash, stall or are late are posted to FACSIMILE_ALERT_WEBHOOK.
    """
    require_project(root)
    from flows import server

    server.prepare(root)
    from flows.serving import deployments
    from flows.serving import serve as serve_deployments

    registered = deployments(root)
    with console.status("starting"):
        address = server.connect_standing(root, port)
    table = Table("deployment", "starts", "does", box=None)
    for deployment in registered:
        starts = [f"{item.schedule.cron} {item.schedule.timezone}" for item in deployment.schedules]
        starts += [trigger.name.partition(" ")[2] for trigger in deployment.triggers]
        table.add_row(deployment.full_name, ", ".join(starts), deployment.description)
    console.print(table)
    if address:
        console.print(f"{address.url} (password {address.secret})", soft_wrap=True, highlight=False)
    serve_deployments(registered)


@commands.command(
    name="sync-mlflow", rich_help_panel=PANEL, epilog=examples("facsimile sync-mlflow")
)
def sync_mlflow(root: Root = HERE) -> None:
    """Log to MLflow what earlier runs could not log.

    Their results are kept in the project while the store does not respond. The next run
    that reaches the store logs them as well.
    """
    require_project(root)
    from flows.tracking import sync

    logged, failure = sync(root.resolve())
    console.print(f"{logged} logged")
    if failure:
        raise FacsimileError(f"others not logged to {failure}")
