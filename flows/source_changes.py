"""Whether user files named in params.yaml have changed, without running the stage `sources`.

The stage is `always_changed` in dvc.yaml, so `dvc repro` runs it every time. Here it counts as
stale only if its output would differ.
"""

import sqlite3
from collections.abc import Mapping
from pathlib import Path

from facsimile.errors import FacsimileError
from tasks.params import PARAMS, read_params
from tasks.sources import changes

STAGE = "sources"
_ALWAYS = "always changed"  # DVC's wording


def refine_stale(root: Path, stale: Mapping[str, list[str]]) -> dict[str, list[str]]:
    """Replace DVC's "always changed" for `sources` by the actual changes, if any.

    Args:
        root: project folder.
        stale: stages that DVC finds stale, with the reasons.

    Raises:
        FacsimileError: params.yaml is invalid, or a folder cannot be read.
    """
    if _ALWAYS not in stale.get(STAGE, ()):
        return dict(stale)
    refined = {stage: reasons for stage, reasons in stale.items() if stage != STAGE}
    if reasons := [reason for reason in stale[STAGE] if reason != _ALWAYS] or _changes(root):
        refined[STAGE] = reasons
    return refined


def _changes(root: Path) -> list[str]:
    sections = read_params(root / PARAMS)
    try:
        found = changes(root, sections["datasets"], sections["ingest"])
    except (OSError, sqlite3.Error) as error:
        raise FacsimileError(f"files under ingest.paths cannot be read: {error}") from error
    return [f"{name}: {change}" for name, change in found.items()]
