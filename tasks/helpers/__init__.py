"""Helpers shared by some stages; those for all stages are in tasks/shared."""
