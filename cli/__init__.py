"""The command line ``facsimile``: one module per group of commands, combined in `cli.app`.

Modules import heavy packages inside the commands that need them, so that help is shown at once.
"""
