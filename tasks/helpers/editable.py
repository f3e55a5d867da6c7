"""Select the AUs that the fitted editor can edit."""

import sys
from collections.abc import Sequence

from facsimile.editing import load_editor
from facsimile.errors import FacsimileError
from tasks.shared.artefacts import EDITOR


def editable_aus(requested: Sequence[str]) -> tuple[str, ...]:
    """The `requested` AUs that the editor can edit; all of them if there is no editor yet.

    Raises:
        FacsimileError: the editor can edit none of them.
    """
    if not EDITOR.exists():
        return tuple(requested)
    fitted = load_editor(EDITOR).aus
    editable = tuple(au for au in requested if au in fitted)
    if not editable:
        raise FacsimileError(
            f"params.yaml: {', '.join(requested)}: nothing to edit; with the annotations of the "
            f"training faces, the editor can edit only {', '.join(fitted)}"
        )
    return editable


def report_skipped_aus(requested: Sequence[str], editable: Sequence[str]) -> None:
    """Print which of the `requested` AUs are skipped, if any."""
    if skipped := [au for au in requested if au not in editable]:
        print(
            f"edits {', '.join(editable)}; skipped {', '.join(skipped)}: not in the editor",
            file=sys.stderr,
        )
