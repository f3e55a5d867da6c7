"""Versions in an S3 bucket, on a server that the test starts."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from flows import dvc
from flows.dvc_remote import choose_remote
from flows.publication import publish_version
from flows.version_checkout import check_out
from tests.support.versions import hashes, wipe

pytest.importorskip("dvc_s3", reason="needs the extra `s3`")
boto3 = pytest.importorskip("boto3")
moto = pytest.importorskip("moto.server", reason="needs moto[s3] and flask-cors")

pytestmark = pytest.mark.slow


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Address of a server with an empty bucket ``faces``."""
    settings = {
        "ACCESS_KEY_ID": "key",
        "SECRET_ACCESS_KEY": "secret",
        "DEFAULT_REGION": "eu-west-1",
    }
    for name, value in settings.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    server = moto.ThreadedMotoServer(port=0, verbose=False)
    server.start()
    address = "http://{}:{}".format(*server.get_host_and_port())
    location = {"LocationConstraint": "eu-west-1"}
    boto3.client("s3", endpoint_url=address).create_bucket(
        Bucket="faces", CreateBucketConfiguration=location
    )
    yield address
    server.stop()


def test_s3(version_project: Path, bucket: str) -> None:
    root = version_project
    assert choose_remote(root, "s3://faces/store") == "versions"
    dvc.query(root, "remote", "modify", "--local", "versions", "endpointurl", bucket)
    progress: list[str] = []
    version = publish_version(root, report=progress.append).version
    stored = boto3.client("s3", endpoint_url=bucket).list_objects_v2(Bucket="faces")["Contents"]
    assert all(entry["Key"].startswith("store/files/md5/") for entry in stored)
    assert any(text.startswith("push versions: ") for text in progress)

    before = hashes(root)
    wipe(root)
    check_out(root, version.name)
    assert hashes(root) == before
