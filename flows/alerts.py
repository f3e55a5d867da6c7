"""Events that Prefect's automations can react to, and the alerts of `facsimile serve`."""

from contextlib import suppress

from prefect.automations import Automation
from prefect.blocks.webhook import Webhook
from prefect.events import emit_event
from prefect.events.actions import CallWebhook
from prefect.events.schemas.automations import EventTrigger, Posture

STALLED = "facsimile.stage.stalled"
"""Event of a stage that makes no progress; its resource is the flow run."""

WEBHOOK = "FACSIMILE_ALERT_WEBHOOK"
"""Environment variable with the URL that alerts are posted to. A URL often contains a secret, so it
is not in params.yaml."""

_ALERTS = "facsimile-alerts"
_STATES = ("Failed", "Crashed", "TimedOut", "Late")
_STATE = '"is " ~ flow_run.state.name ~ ". " ~ (flow_run.state.message or "")'
_MESSAGE = (
    '{"text": {{ ("Facsimile: " ~ flow.name ~ " (" ~ flow_run.name ~ ") " ~ '
    f'(event.payload.get("text") or {_STATE})) | tojson }}}} }}'
)


def report_stall(run: str, text: str) -> None:
    """Emit `STALLED` for a flow run. A failure to emit it is ignored.

    Args:
        run: id of the flow run.
        text: what to report, in one line.
    """
    with suppress(Exception):
        resource = {"prefect.resource.id": f"prefect.flow-run.{run}"}
        emit_event(STALLED, resource, payload={"text": text})


def register_alerts(url: str) -> None:
    """Post a message to a webhook whenever a flow run fails, crashes, stalls or is late.

    The body is ``{"text": …}``, which Slack, Mattermost and Teams accept.

    Args:
        url: URL of the webhook; empty for no alerts, which removes an earlier one.
    """
    earlier = _find_automation(_ALERTS)
    if not url:
        if earlier:
            earlier.delete()
        return
    block = Webhook(method="POST", url=url, headers={"Content-Type": "application/json"})
    trigger = EventTrigger(
        expect={STALLED, *(f"prefect.flow-run.{state}" for state in _STATES)},
        match={"prefect.resource.id": "prefect.flow-run.*"},
        for_each={"prefect.resource.id"},
        posture=Posture.Reactive,
        threshold=1,
    )
    action = CallWebhook(block_document_id=block.save(_ALERTS, overwrite=True), payload=_MESSAGE)
    # Kept if it is the same: a server may miss the events that follow the creation.
    if earlier:
        if earlier.trigger.expect == trigger.expect and earlier.actions == [action]:
            return
        earlier.delete()
    Automation(
        name=_ALERTS,
        description="A flow run failed, crashed, stalled or is late",
        trigger=trigger,
        actions=[action],
    ).create()


def _find_automation(name: str) -> Automation | None:
    try:
        return Automation.read(name=name)
    except ValueError:
        return None
