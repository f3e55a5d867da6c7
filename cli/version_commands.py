"""``facsimile publish``, ``versions``, ``checkout`` and ``diff``: versions of the dataset."""

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table
from rich.text import Text

from cli.failures import complain
from cli.shared import HERE, Root, console, examples, require_project
from facsimile.faces.origins import REAL
from flows import events

if TYPE_CHECKING:
    from flows.version_contents import Contents
    from flows.version_diff import Change

PANEL = "Versions of the dataset"

commands = typer.Typer()


@commands.command(
    rich_help_panel=PANEL,
    epilog=examples(
        "facsimile publish",
        "facsimile publish --remote /mnt/archive/faces",
        "facsimile publish --remote s3://bucket/faces",
    ),
)
def publish(
    remote: Annotated[
        str | None,
        typer.Option(
            help="DVC remote for the data. Name of a configured remote; or a folder or URL, which "
            "becomes the default remote if there is none. By default, the default remote, or a "
            "new folder beside the project, PROJECT-versions.",
            metavar="NAME|FOLDER|URL",
            show_default=False,
        ),
    ] = None,
    branch: Annotated[
        str, typer.Option(help="Branch to commit the version to; your own branch is not changed.")
    ] = "dataset",
    root: Root = HERE,
) -> None:
    """Publish the current data as a version, unless a version has the same data.

    Uploads the results of all stages to the DVC remote.
    Then commits dvc.lock and params.yaml, and tags the commit `dataset/YYYY.MM.DD.N`.
    """
    require_project(root)
    from flows import server

    os.environ.setdefault("PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL", "CRITICAL")
    with console.status("starting") as status:
        server.connect(root)
        from flows.publish import publish as flow

        with events.subscribed(lambda _stage, _state, detail: status.update(detail)):
            state = flow(root=str(root), branch=branch, remote=remote, return_state=True)
    publication = state.result(raise_on_failure=False)
    if isinstance(publication, BaseException):
        raise publication
    version = publication.version
    if not publication.new:
        print(f"nothing to publish: the data is {version.name}")
        return
    print(f"{version.name}: {version.contents.summary()}")
    print(f"To share it: git push origin {branch} {version.name}")


@commands.command(rich_help_panel=PANEL, epilog=examples("facsimile versions"))
def versions(root: Root = HERE) -> None:
    """List all versions with their faces and headline figures, the newest first.

    Reads git only. The current data is marked with an asterisk.
    """
    require_project(root)
    from flows.versions import VersionStore, current_outputs, outputs_digest

    found = VersionStore(root).all()
    if not found:
        print("no version yet; `facsimile publish` publishes the current data")
        return
    here = outputs_digest(current_outputs(root))
    arms = list(dict.fromkeys(arm for version in found for arm in _mean_f1(version.contents)))
    table = Table("", "version", "published (UTC)", "real", "generated", box=None)
    for arm in arms:
        table.add_column(f"F1 {arm}", justify="right")
    table.add_column("code")
    for version in found:
        generated = version.contents.generated
        parts = ", ".join(f"{count:,} {origin}" for origin, count in generated.items())
        means = _mean_f1(version.contents)
        table.add_row(
            "*" if version.outputs == here else "",
            version.name,
            version.published[:16].replace("T", " "),
            f"{version.contents.faces(REAL):,}",
            f"{sum(generated.values()):,}" + (f" ({parts})" if parts else ""),
            *(f"{means[arm]:.3f}" if arm in means else "–" for arm in arms),
            version.code[:8],
        )
    console.print(table)


@commands.command(
    rich_help_panel=PANEL,
    epilog=examples("facsimile checkout 2026.11.25.1", "facsimile checkout 2026.11.25.1 --force"),
)
def checkout(
    version: Annotated[
        str,
        typer.Argument(
            help="Name of a version, such as 2026.11.25.1; see `facsimile versions`.",
            metavar="VERSION",
        ),
    ],
    force: Annotated[
        bool,
        typer.Option("--force", help="Also replace params and results that are in no version."),
    ] = False,
    root: Root = HERE,
) -> None:
    """Bring back a version: params.yaml, dvc.lock and data/, byte for byte.

    Downloads what is missing from DVC's cache, and hashes all files at the end.
    The code is left as it is; if it differs, the git command that brings it is printed.
    """
    require_project(root)
    from flows.version_checkout import check_out, switch_command

    with console.status("reading versions") as status:
        result = check_out(root, version, force=force, report=status.update)
    name = result.version.name
    print(f"{name}: {result.version.contents.summary()}, {result.bytes / 1e6:,.0f} MB verified")
    if result.changed_code:
        from flows.versions import shorten

        first = "commit or stash your changes, then " if result.uncommitted else ""
        complain(
            f"the code is not that of {name} ({shorten(result.changed_code)}): "
            f"{first}`{switch_command(result.version)}` brings it"
        )


@commands.command(
    rich_help_panel=PANEL,
    epilog=examples("facsimile diff 2026.11.25.1", "facsimile diff 2026.11.25.1 2026.12.02.1"),
)
def diff(
    old: Annotated[str, typer.Argument(help="Name of a version.", metavar="A")],
    new: Annotated[
        str | None,
        typer.Argument(
            help="Name of another version; the working tree by default.",
            metavar="B",
            show_default=False,
        ),
    ] = None,
    root: Root = HERE,
) -> None:
    """Show what has changed from A to B: params, code, rows and headline figures."""
    require_project(root)
    from flows.version_diff import compare

    found = compare(root, old, new)
    if found.is_empty:
        print("no difference")
        return
    if found.params:
        _print_changes("params", found.params)
    if found.code:
        table = Table("", "code that results depend on", box=None)
        for path, status in found.code.items():
            table.add_row(status, Text(path))
        console.print(table)
    if found.other_files:
        console.print(f" {len(found.other_files)} other files, such as documentation and tests")
    if found.rows:
        _print_changes("faces", found.rows)
    if found.figures:
        _print_changes("figures", found.figures)


def _print_changes(title: str, changes: "Sequence[Change]") -> None:
    table = Table(title, box=None)
    for name in ("A", "B", "change"):
        table.add_column(name, justify="right")
    for change in changes:
        numbers = [
            value
            for value in (change.old, change.new)
            if isinstance(value, (int, float)) and not isinstance(value, bool)
        ]
        step = _shown(numbers[1] - numbers[0], "+") if len(numbers) == 2 else ""
        old, new = (Text(_shown(value)) for value in (change.old, change.new))
        table.add_row(Text(change.name), old, new, step)
    console.print(table)


def _shown(value: object, sign: str = "") -> str:
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:{sign}.4g}"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:{sign},}"
    return str(value)


def _mean_f1(contents: "Contents") -> dict[str, float]:
    """Mean F1 of each training arm."""
    return {
        name.removeprefix("f1.").removesuffix(".mean"): value
        for name, value in contents.figures.items()
        if name.startswith("f1.") and name.endswith(".mean")
    }
