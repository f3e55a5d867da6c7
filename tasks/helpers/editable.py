"""Which AUs the fitted editor can edit."""

import sys
from collections.abc import Sequence

from facsimile.editing import load_editor
from facsimile.errors import FacsimileError
from tasks.shared.artefacts import EDITOR


def editable_aus(wanted: Sequence[str]) -> tuple[str, ...]:
    """Those of the `wanted` AUs that the editor can edit; all if there is no editor yet.

    Raises:
        FacsimileError: it can edit none of them.
    """
    if not EDITOR.exists():
        return tuple(wanted)
    fitted = load_editor(EDITOR).aus
    kept = tuple(au for au in wanted if au in fitted)
    if not kept:
        raise FacsimileError(
            f"params.yaml: {', '.join(wanted)}: nothing to edit; with the annotations of the "
            f"training faces, the editor can edit only {', '.join(fitted)}"
        )
    return kept


def tell_aus(wanted: Sequence[str], kept: Sequence[str], why: str = "not in the editor") -> None:
    """Print which of the `wanted` AUs are edited, unless it is all."""
    if left_out := [au for au in wanted if au not in kept]:
        print(f"edits {', '.join(kept)}; left out {', '.join(left_out)}: {why}", file=sys.stderr)
