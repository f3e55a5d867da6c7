"""Query the Prefect server of the tests."""

from typing import Any

from prefect.client.orchestration import get_client


def ask(path: str, query: dict[str, Any]) -> Any:
    """The answer to a query."""
    with get_client(sync_client=True) as client:
        return client.request("POST", path, json=query).json()


def events_named(name: str) -> list[dict[str, Any]]:
    """Events that the server has received."""
    return ask("/events/filter", {"filter": {"event": {"name": [name]}}})["events"]
