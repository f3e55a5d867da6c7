"""Exchange data with a DVC remote, and check that all of it has arrived.

    python -P flows/dvc_transfer.py push REMOTE
    python -P flows/dvc_transfer.py fetch REMOTE REVISION

`push` uploads the outputs of the working tree, `fetch` downloads those of a git revision to the
cache. Objects that exist on the other side are skipped. DVC takes a folder whose listing is in the
remote for complete, and would not notice that a file of it was lost; here each file is looked up.

-P keeps this folder off sys.path, where flows/dvc.py would shadow the package `dvc`.
"""

import json
import signal
import sys

from dvc.exceptions import DvcException
from dvc.repo import Repo


def main(action: str, remote: str, *revisions: str) -> None:
    with Repo(_wait_for_lock=True) as repo:
        if action == "fetch":
            repo.fetch(remote=remote, revs=list(revisions), workspace=False)
            return
        repo.push(remote=remote)
        with repo.lock:
            _upload_missing(repo, remote)


def _upload_missing(repo: Repo, remote: str) -> None:
    """Upload files that DVC wrongly believes to be in the remote."""
    cache, store = repo.cache.local, repo.cloud.get_remote(remote).odb
    objects = _objects(repo)
    missing = sorted(objects - set(store.oids_exist(objects)))
    if missing:
        paths = [cache.oid_to_path(oid) for oid in missing]
        store.add(paths, cache.fs, missing, check_exists=False)
        missing = sorted(set(missing) - set(store.oids_exist(missing)))
    if missing:
        raise DvcException(f"{len(missing)} files have not arrived, such as {missing[0]}")


def _objects(repo: Repo) -> set[str]:
    """Hashes of all cached outputs of the working tree and of the files in their folders."""
    cache = repo.cache.local
    objects = set()
    for out in repo.index.outs:
        if not (out.use_cache and out.can_push and out.hash_info):
            continue
        oid = out.hash_info.value
        objects.add(oid)
        if out.hash_info.isdir:
            listing = json.loads(cache.fs.cat_file(cache.oid_to_path(oid)))
            objects.update(entry["md5"] for entry in listing)
    return objects


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # releases DVC's locks
    try:
        main(*sys.argv[1:])
    except DvcException as error:
        sys.exit(f"ERROR: {error}")
