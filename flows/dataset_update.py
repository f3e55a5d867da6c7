"""The scheduled flow: regenerate the dataset, and publish a version if anything has changed."""

from pathlib import Path

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.states import Completed, Failed

from flows.conductor import regenerate
from flows.orphaned_runs import record_process
from flows.publish import publish
from flows.run_params import read_operations


@flow(persist_result=False)
def update_dataset(root: str = ".") -> State:
    """Bring everything up to date, and publish the result unless a version has the same data.

    Versions go to the branch ``operations.publish`` of params.yaml; without one, none is published.

    Args:
        root: project folder.
    """
    record_process()
    regenerated = regenerate(root=root, return_state=True)
    if regenerated.is_failed():
        return Failed(message=regenerated.message)
    branch = read_operations(Path(root)).publish
    if branch is None:
        return Completed(message="regenerated")
    published = publish(root=root, branch=branch, return_state=True)
    if published.is_failed():
        return Failed(message=f"regenerated, but not published: {published.message}")
    return Completed(message=published.message)
