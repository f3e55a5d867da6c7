"""The linear world of the tests of editing."""

from tests.facsimile.editing.conftest import editor, generator, world

__all__ = ["editor", "generator", "world"]
