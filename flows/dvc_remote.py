"""DVC remotes: where the data of published versions is kept."""

import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from facsimile.errors import FacsimileError
from flows import dvc
from flows.supervisor import supervised

DEFAULT = "versions"
"""Name of the remote that the first publication adds."""

_TRANSFER = (sys.executable, "-P", str(Path(__file__).with_name("dvc_transfer.py")))
_URL = re.compile(r"remote\.(.+)\.url")
_PROGRESS = re.compile(r"\s*(\d+)%.*?(\d[\d.]*[kM]?/\d[\d.]*[kM]?)")
_ESCAPES = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")


@dataclass(frozen=True)
class Remotes:
    """The configured remotes.

    Attributes:
        locations: name → absolute path of a folder, or URL.
        default: name of the default remote; None if there is none.
    """

    locations: dict[str, str]
    default: str | None


def read_remotes(root: Path) -> Remotes:
    """The remotes of a project.

    Raises:
        FacsimileError: `root` is not a DVC project, or its configuration is invalid.
    """
    # `dvc remote list` breaks long lines.
    lines = dvc.query(root, "config", "--list").splitlines()
    values = dict(line.split("=", 1) for line in lines)
    locations = {match[1]: value for key, value in values.items() if (match := _URL.fullmatch(key))}
    default = values.get("core.remote")
    return Remotes(locations, default if default in locations else None)


def choose_remote(root: Path, requested: str | None) -> str:
    """Name of the remote to publish to. Adds a default one if there is none.

    It is added to ``.dvc/config.local``, which git ignores, because it may be a path of this
    machine. The default location is a folder beside the project, so that deleting the project does
    not delete its versions.

    Args:
        root: project folder.
        requested: name of a remote, or a folder or URL; None for the default remote.

    Raises:
        FacsimileError: another default remote is configured, or DVC refuses the location.
    """
    root = root.resolve()
    remotes = read_remotes(root)
    if requested is None and remotes.default:
        return remotes.default
    if requested in remotes.locations:
        return requested
    location = requested or str(root.parent / f"{root.name}-versions")
    if "://" not in location:
        location = str(Path(location).expanduser().resolve())
    for name, known in remotes.locations.items():
        if known.rstrip("/") == location.rstrip("/"):
            return name
    if remotes.default:
        raise FacsimileError(
            f"{requested} is not a DVC remote, and {remotes.locations[remotes.default]} is the "
            f"default one: run `dvc remote add --local NAME {requested}` and use --remote NAME"
        )
    dvc.query(root, "remote", "add", "--local", "--default", DEFAULT, location)
    return DEFAULT


def push(root: Path, remote: str, report: Callable[[str], None]) -> None:
    """Upload the outputs of all stages. When it returns, the remote has all of them.

    Args:
        root: project folder.
        remote: name of the remote.
        report: called with the progress as text.

    Raises:
        FacsimileError: the transfer failed.
    """
    _transfer(root, ("push", remote), report)


def fetch(root: Path, remote: str, revision: str, report: Callable[[str], None]) -> None:
    """Download the outputs of a git revision to DVC's cache, as far as they are not there.

    Raises:
        FacsimileError: the transfer failed.
    """
    _transfer(root, ("fetch", remote, revision), report)


def _transfer(root: Path, arguments: tuple[str, ...], report: Callable[[str], None]) -> None:
    action, remote = arguments[:2]
    command, options = supervised([*_TRANSFER, *arguments])
    process = subprocess.Popen(
        command,
        cwd=root,
        env=dvc.process_environment(root, {"DVC_IGNORE_ISATTY": "1"}),  # progress in a pipe, too
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,  # translates the carriage returns of progress bars to newlines
        errors="replace",
        **options,
    )
    errors = []
    try:
        for line in process.stderr:
            text = _ESCAPES.sub("", line).strip()
            if progress := _PROGRESS.match(text):
                report(f"{action} {remote}: {progress[2]} files ({progress[1]} %)")
            elif text:
                errors.append(text)
        code = process.wait()
    finally:
        process.terminate()
        process.wait()
        process.stderr.close()
    if code:
        where = read_remotes(root).locations.get(remote, remote)
        raise FacsimileError(f"dvc {action}, {where}: {dvc.error_line(errors, root)}")
