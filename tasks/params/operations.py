"""Section `operations`: when scheduled runs start. No stage reads it."""

from tasks.params.section import Section


class OperationsParams(Section):
    """Schedule of `facsimile serve` and of prefect.yaml.

    `schedule` is a cron expression and `timezone` an IANA time zone.
    """

    schedule: str
    timezone: str
