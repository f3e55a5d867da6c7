"""Section `operations`: when scheduled runs start and when a run is stuck. No stage reads it."""

from pydantic import PositiveFloat

from tasks.params.section import Section


class OperationsParams(Section):
    """Operation without a user.

    Attributes:
        schedule: cron expression for `facsimile serve` and prefect.yaml.
        timezone: IANA time zone of the schedule.
        publish: branch for the versions that scheduled runs publish; None to publish none.
        stall_minutes: a stage that prints nothing for so long is reported as stalled.
        kill_stalled: whether it is also killed and retried.
    """

    schedule: str = "0 2 * * 0"
    timezone: str = "UTC"
    publish: str | None = "dataset"
    stall_minutes: PositiveFloat = 60
    kill_stalled: bool = False
