"""Deployments: which flows run without a user, and when.

`serve` registers them with the Prefect server and runs them in this machine; prefect.yaml registers
the same ones for workers of a work pool, with the schedule that this module prints:

    python -m flows.serving
"""

import os
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import prefect
from prefect.client.schemas.schedules import CronSchedule
from prefect.deployments.runner import EntrypointType, RunnerDeployment
from prefect.events.schemas.deployment_triggers import DeploymentEventTrigger
from pydantic import ValidationError

from facsimile.errors import FacsimileError
from flows.alerts import VERSION_PUBLISHED, WEBHOOK, register_alerts
from flows.conductor import regenerate, retrain
from flows.orphaned_runs import close_orphaned_runs
from tasks.params import PARAMS, OperationsParams, read_section


def read_schedule(root: Path) -> CronSchedule:
    """The schedule in section `operations` of params.yaml.

    Raises:
        FacsimileError: a key is missing, or not a cron expression or time zone.
    """
    section = read_section(root / PARAMS, "operations", OperationsParams)
    where = f"{root / PARAMS}: operations"
    try:
        ZoneInfo(section.timezone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise FacsimileError(
            f"{where}.timezone: {section.timezone!r} is not an IANA time zone such as Europe/Rome"
        ) from None
    try:
        return CronSchedule(cron=section.schedule, timezone=section.timezone)
    except ValidationError:
        raise FacsimileError(
            f'{where}.schedule: {section.schedule!r} is not a cron expression such as "0 2 * * 0"'
        ) from None


def deployments(root: Path) -> list[RunnerDeployment]:
    """What is run for a project.

    Raises:
        FacsimileError: see `read_schedule`.
    """
    options: dict[str, Any] = {
        "parameters": {"root": str(root.resolve())},
        "entrypoint_type": EntrypointType.MODULE_PATH,
    }
    schedule = read_schedule(root)
    published = DeploymentEventTrigger(
        name=f"retrain after {VERSION_PUBLISHED}", expect={VERSION_PUBLISHED}
    )
    return [
        regenerate.to_deployment(
            "scheduled",
            description="Bring everything up to date. Runs only what has changed.",
            schedule=schedule,
            **options,
        ),
        retrain.to_deployment(
            "on-new-version",
            description="Train and evaluate on the faces accepted so far.",
            triggers=[published],
            **options,
        ),
    ]


def serve(registered: list[RunnerDeployment]) -> None:
    """Run deployments until this process is interrupted.

    Runs that became due meanwhile start at once. Runs of one project take turns, whichever
    deployment they belong to.
    """
    register_alerts(os.environ.get(WEBHOOK, ""))
    close_orphaned_runs()
    prefect.serve(*registered, pause_on_shutdown=False, print_starting_message=False)


if __name__ == "__main__":
    print(read_schedule(Path()).cron)
