"""Files of your own that params name: what the stage `sources` would find, without running it.

DVC holds that stage to be always changed, so that `dvc repro` runs it every time. Here it is stale
only if it would write something else than it has written.
"""

import sqlite3
from collections.abc import Mapping
from pathlib import Path

from facsimile.errors import FacsimileError
from tasks.params import PARAMS, read_params
from tasks.sources import changes

STAGE = "sources"
_ALWAYS = "always changed"  # DVC's words


def settle(root: Path, stale: Mapping[str, list[str]]) -> dict[str, list[str]]:
    """Stale stages with the reasons that `sources` really has, and without it where it has none.

    Args:
        root: project folder.
        stale: stages that DVC finds changed, each with the reasons.

    Raises:
        FacsimileError: wrong params, or a folder that cannot be read.
    """
    if _ALWAYS not in stale.get(STAGE, ()):
        return dict(stale)
    settled = {stage: reasons for stage, reasons in stale.items() if stage != STAGE}
    if reasons := [reason for reason in stale[STAGE] if reason != _ALWAYS] or _changes(root):
        settled[STAGE] = reasons
    return settled


def _changes(root: Path) -> list[str]:
    sections = read_params(root / PARAMS)
    try:
        found = changes(root, sections["datasets"], sections["ingest"])
    except (OSError, sqlite3.Error) as error:
        raise FacsimileError(f"files under ingest.paths cannot be looked at: {error}") from error
    return [f"{name}: {change}" for name, change in found.items()]
