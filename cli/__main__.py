"""``python -m cli``: the command line without an installed script."""

from cli.app import app

app(prog_name="facsimile")
