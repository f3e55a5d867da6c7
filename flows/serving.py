"""Deployments: which flows run without a user, and when.

`serve` registers them with the Prefect server and runs them in this machine; prefect.yaml registers
the same ones for workers of a work pool, with the schedule that this module prints:

    python -m flows.serving cron
    python -m flows.serving timezone
"""

import os
import sys
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import prefect
from prefect.client.schemas.schedules import CronSchedule
from prefect.deployments.runner import EntrypointType, RunnerDeployment
from prefect.events.schemas.deployment_triggers import DeploymentEventTrigger
from pydantic import ValidationError

from facsimile.errors import FacsimileError
from flows.alerts import WEBHOOK, register_alerts
from flows.conductor import editors, paper, retrain
from flows.dataset_update import update_dataset
from flows.orphaned_runs import close_orphaned_runs
from flows.publish import PUBLISHED
from flows.run_params import read_operations
from tasks.params import PARAMS


def read_schedule(root: Path) -> CronSchedule:
    """The schedule in section `operations` of params.yaml.

    Raises:
        FacsimileError: a key is missing, or not a cron expression or time zone.
    """
    section = read_operations(root)
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
    folder = str(root.resolve())
    schedule = read_schedule(root)
    published = DeploymentEventTrigger(name=f"retrain after {PUBLISHED}", expect={PUBLISHED})
    return [
        update_dataset.to_deployment(
            "scheduled",
            description="Bring everything up to date, and publish a version if it has changed.",
            schedule=schedule,
            parameters={"root": folder},
            entrypoint_type=EntrypointType.MODULE_PATH,
        ),
        retrain.to_deployment(
            "on-new-version",
            description="Train and evaluate on the faces accepted so far.",
            triggers=[published],
            parameters={"root": folder},
            entrypoint_type=EntrypointType.MODULE_PATH,
        ),
        paper.to_deployment(
            "on-demand",
            description="Measure every claim of the paper.",
            parameters={"root": folder},
            entrypoint_type=EntrypointType.MODULE_PATH,
        ),
        editors.to_deployment(
            "on-demand",
            description="Compare all editors.",
            parameters={"root": folder},
            entrypoint_type=EntrypointType.MODULE_PATH,
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
    print(getattr(read_schedule(Path()), sys.argv[1]))
