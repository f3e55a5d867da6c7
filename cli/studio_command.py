"""``facsimile studio``: try the editors on a page in the browser."""

import webbrowser
from contextlib import nullcontext
from typing import Annotated

import typer

from cli.edit_commands import PANEL, Method, check_method
from cli.shared import HERE, Align, Crop, Root, console, examples, require_project

commands = typer.Typer()


@commands.command(
    rich_help_panel=PANEL,
    epilog=examples("facsimile studio", "facsimile studio --method dual-branch --port 8000"),
)
def studio(
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port of 127.0.0.1; 0 for any free one.")
    ] = 0,
    open_: Annotated[
        bool, typer.Option("--open/--no-open", help="Open the page in the browser.")
    ] = True,
    method: Method = "",
    align: Align = "",
    crop: Crop = None,
    root: Root = HERE,
) -> None:
    """Edit faces on a page in the browser.

    Choose a face or upload one, and move the AUs. The page compares the
    fitted editors, and shows the Python lines and the command for each
    picture. Only this machine can reach it. Ctrl-C ends it. Pictures are
    prepared as for `facsimile edit`.
    """
    require_project(root)
    check_method(method)
    from flows.studio_readiness import require_fitted

    require_fitted(root)
    with console.status("loading") if console.is_terminal else nullcontext():
        from flows.studio import Studio
        from flows.studio_server import serve_studio

        loaded = Studio(root, method, landmarks=align, crop=crop)

    def announce(url: str) -> None:
        print(f"{url}  (Ctrl-C ends it)", flush=True)
        if open_:
            webbrowser.open(url)

    serve_studio(loaded, port, announce)
