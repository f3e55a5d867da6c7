"""Whether a project has what `facsimile studio` needs; loads nothing."""

from pathlib import Path

from facsimile.errors import FacsimileError

_NEEDED = {
    "editor": "no editor is fitted",
    "baseline": "no AU detector is trained",
}
"""Stage → what is missing without its folder."""


def require_fitted(root: Path) -> None:
    """Raise FacsimileError with the command to run if the pipeline has not run so far."""
    for stage, missing in _NEEDED.items():
        if not (root / "data" / stage).exists():
            raise FacsimileError(
                f"data/{stage}: {missing} yet; run `facsimile run editor baseline`"
            )
