"""A page for browsing samples of a run or of a dataset."""

from facsimile.inspection.page import write_inspection

__all__ = ["write_inspection"]
