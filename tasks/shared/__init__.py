"""Shared by all stages: command line, exit status, machine faults, devices and artefact paths."""
