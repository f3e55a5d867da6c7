"""``facsimile init``: a project of one's own."""

from pathlib import Path
from typing import Annotated

import typer

from cli.run_commands import PANEL
from cli.shared import examples

commands = typer.Typer()


@commands.command(
    rich_help_panel=PANEL,
    epilog=examples("facsimile init faces", "facsimile init . --update"),
)
def init(
    folder: Annotated[
        Path,
        typer.Argument(
            help="Folder of the project; may exist and hold datasets.",
            metavar="FOLDER",
            show_default=False,
        ),
    ],
    update: Annotated[
        bool,
        typer.Option(
            "--update",
            help="Replace the code and dvc.yaml of an existing project by those of the installed "
            "version; params.yaml, data and models stay.",
        ),
    ] = False,
) -> None:
    """Create a project of your own.

    Writes params.yaml, dvc.yaml, the code of the stages, the causal graph
    and the shipped models. The project runs the embedded world until
    params.yaml names other datasets.
    """
    from flows.new_project import create_project, update_project

    if update:
        update_project(folder)
        print(f"{folder}: the code is up to date; `facsimile status` shows which stages it affects")
        return
    create_project(folder)
    print(f"{folder}: a new project. Next steps, in this folder:")
    print("  git init && git add . && git commit -m 'Start'  # so that results can be traced")
    print("  facsimile check FILE_OR_FOLDER                 # what your own data would bring")
    print("  facsimile demo                                 # run the pipeline")
