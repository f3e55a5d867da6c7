"""Detectors in use: one model that reads AUs of pictures, and the test that chooses between two."""

from facsimile.serving.au_model import AUModel, write_code

__all__ = ["AUModel", "write_code"]
