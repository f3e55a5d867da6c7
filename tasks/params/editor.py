"""Section `editor`: the editor to fit and its options."""

from typing import Literal

from pydantic import create_model

from facsimile.editor_options import OPTIONS, EditorOptions
from tasks.params.section import Section


class _Method(Section):
    """Name of the editor to fit; the options of each editor are under its name."""

    method: Literal[tuple(OPTIONS)]

    @property
    def options(self) -> EditorOptions:
        """Options of the editor to fit."""
        return self.options_of(self.method)

    def options_of(self, method: str) -> EditorOptions:
        """Options of an editor by its name."""
        return getattr(self, method)


EditorParams = create_model(
    "EditorParams",
    __base__=_Method,
    __module__=__name__,
    **{name: (model, model()) for name, model in OPTIONS.items()},
)
