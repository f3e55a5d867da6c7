"""Discard DVC's record of a stage: python flows/dvc_forget.py STAGE

Removes its entry from dvc.lock, and the run-cache entry that would restore it. Runs in a separate
process, because DVC's lock and working folder are global to the process.
"""

import shutil
import sys

from dvc.dvcfile import Lockfile
from dvc.repo import Repo
from dvc.stage.cache import _get_stage_hash  # no public API returns the run-cache key


def main(name: str) -> None:
    with Repo() as repo, repo.lock:
        stage = repo.stage.load_one(name=name)
        if key := _get_stage_hash(stage):
            shutil.rmtree(repo.stage_cache._get_cache_dir(key), ignore_errors=True)
        Lockfile(repo, "dvc.lock").remove_stage(stage)


if __name__ == "__main__":
    main(sys.argv[1])
