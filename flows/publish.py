"""The Prefect flow `publish`: publish a version and announce it to Prefect and MLflow."""

import time
from pathlib import Path
from typing import TYPE_CHECKING

from prefect import flow, get_run_logger
from prefect.artifacts import create_markdown_artifact
from prefect.client.schemas.objects import State
from prefect.events import emit_event
from prefect.states import Completed, Failed

from facsimile.errors import FacsimileError
from flows import events
from flows.dvc_remote import read_remotes
from flows.mlflow_runs import end_orphaned_runs, ended_run, log, open_run, revision_tags
from flows.mlflow_store import MLflowStore
from flows.orphaned_runs import record_process
from flows.outputs import REPORT
from flows.publication import publish_version
from flows.run_params import RunParams
from flows.versions import BRANCH, Version
from tasks.provenance.git import Revision

if TYPE_CHECKING:
    from mlflow import MlflowClient

PUBLISHED = "facsimile.version.published"
"""Prefect event of a new version. Its resource id ends in the name of the version."""

_STEP = "publish"
_VERSION_TAG, _COMMIT_TAG, _REMOTE_TAG = (
    f"facsimile.version{suffix}" for suffix in ("", ".commit", ".remote")
)


@flow(persist_result=False)
def publish(root: str = ".", branch: str = BRANCH, remote: str | None = None) -> State:
    """Publish the current data as a version, unless a version has the same data.

    Args:
        root: project folder.
        branch: branch to commit the version to.
        remote: name, folder or URL of the DVC remote (default: the default remote, or a folder
            beside the project if there is none).
    """
    record_process()
    folder, begin = Path(root).resolve(), time.time()
    try:
        publication = publish_version(folder, branch=branch, remote=remote, report=_report)
    except FacsimileError as error:
        return Failed(message=str(error), data=error)
    version = publication.version
    if not publication.new:
        return Completed(name="Cached", message=f"the data is {version.name}", data=publication)
    emit_event(
        PUBLISHED,
        resource={
            "prefect.resource.id": f"facsimile.version.{version.name}",
            "prefect.resource.name": version.name,
            "facsimile.commit": version.commit,
            "facsimile.root": str(folder),
        },
        payload={"version": version.name, "commit": version.commit, "root": str(folder)},
    )
    location = read_remotes(folder).locations[version.remote]
    run = _log_to_mlflow(folder, version, begin)
    _create_artifact(folder, version, location, run)
    return Completed(message=f"published {version.name}", data=publication)


def _report(text: str) -> None:
    events.emit(_STEP, events.RUNNING, text)


def _log_to_mlflow(root: Path, version: Version, begin: float) -> str:
    """Log a run with the version, its commit, all params, counts, figures and the report.

    Returns:
        The id of the run; empty if MLflow cannot be used, which is reported when the command ends.
    """
    contents = version.contents
    store = MLflowStore(root)

    def write(client: "MlflowClient") -> str:
        end_orphaned_runs(client, store.experiment)
        tags = revision_tags(Revision(version.code)) | {
            _VERSION_TAG: version.name,
            _COMMIT_TAG: version.commit,
            _REMOTE_TAG: version.remote,
        }
        run = open_run(client, store.experiment, version.name, begin, tags)
        with ended_run(client, run, "FINISHED"):
            counts = {f"faces.{origin}": contents.faces(origin) for origin in contents.rows}
            log(
                client,
                run,
                params=RunParams(root).values,
                metrics=contents.figures | counts,
                milliseconds=int(time.time() * 1000),
            )
            if (root / REPORT).exists():
                client.log_artifact(run, str(root / REPORT))
        return run

    run = store.attempt(write)
    if store.failure:
        _warn(f"{version.name} not fully logged to {store.failure}")
    return run or ""


def _create_artifact(root: Path, version: Version, location: str, run: str) -> None:
    contents = version.contents
    rows = {
        "commit": f"`{version.commit}`",
        "code": f"`{version.code}`",
        "data": f"`{location}`",
        "MLflow run": f"`{run}`" if run else "not logged",
        "report": f"`{root / REPORT}`",
        **{f"{origin} faces": f"{contents.faces(origin):,}" for origin in contents.rows},
        **{name: f"{value:.4g}" for name, value in contents.figures.items()},
    }
    lines = [f"| {name} | {value} |" for name, value in rows.items()]
    text = "\n".join(
        [f"`facsimile checkout {version.name}`", "", "| | |", "| --- | --- |", *lines, ""]
    )
    try:
        create_markdown_artifact(text, key="version", description=version.name)
    except Exception as error:  # the version is published; only its notice is missing
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        _warn(f"Prefect artifact of {version.name} not published: {reason}")


def _warn(line: str) -> None:
    get_run_logger().warning(line)
    events.add_note(line)
