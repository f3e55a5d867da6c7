"""Provenance of results: the state of git, and what DVC declares and records for each stage."""
