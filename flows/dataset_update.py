"""The scheduled flow: regenerate the dataset, and publish a version if anything has changed."""

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.states import Completed, Failed

from flows.conductor import regenerate
from flows.orphaned_runs import record_process
from flows.publish import publish
from flows.versions import BRANCH


@flow(persist_result=False)
def update_dataset(root: str = ".", branch: str | None = BRANCH) -> State:
    """Bring everything up to date, and publish the result unless a version has the same data.

    Args:
        root: project folder.
        branch: branch for the versions; None to publish none.
    """
    record_process()
    regenerated = regenerate(root=root, return_state=True)
    if regenerated.is_failed():
        return Failed(message=regenerated.message)
    if branch is None:
        return Completed(message="regenerated")
    published = publish(root=root, branch=branch, return_state=True)
    if published.is_failed():
        return Failed(message=f"regenerated, but not published: {published.message}")
    return Completed(message=published.message)
