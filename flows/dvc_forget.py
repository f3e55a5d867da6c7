"""Have DVC forget what it recorded of a stage: python flows/dvc_forget.py STAGE

Removes its entry of dvc.lock, and the entry of the run cache that would bring it back. A process of
its own, because DVC takes its lock and its project folder for the whole process.
"""

import shutil
import sys

from dvc.dvcfile import Lockfile
from dvc.repo import Repo
from dvc.stage.cache import _get_stage_hash  # the key of the run cache has no public name


def main(name: str) -> None:
    with Repo() as repo, repo.lock:
        stage = repo.stage.load_one(name=name)
        if key := _get_stage_hash(stage):
            shutil.rmtree(repo.stage_cache._get_cache_dir(key), ignore_errors=True)
        Lockfile(repo, "dvc.lock").remove_stage(stage)


if __name__ == "__main__":
    main(sys.argv[1])
