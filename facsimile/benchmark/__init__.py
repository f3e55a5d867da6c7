"""Comparison of all editors on the same faces."""

from facsimile.benchmark.contestants import CONTESTANTS, Contestant

__all__ = ["CONTESTANTS", "Contestant"]
