"""The project's own folder for what tools would else keep in the user's home or in /var/tmp.

Nothing is then written outside the project, and what others could write is not read.
"""

import getpass
import os
import tempfile
from pathlib import Path

from configobj import ConfigObj
from platformdirs import site_config_dir

import facsimile
from facsimile.errors import FacsimileError

FOLDER = ".facsimile"


def make_folder(root: Path, tool: str) -> Path:
    """Make ``.facsimile/<tool>`` in a project: seen by its owner only, and ignored by git.

    Raises:
        FacsimileError: it cannot be written.
    """
    home = root.resolve() / FOLDER
    made = home / tool
    try:
        home.mkdir(mode=0o700, exist_ok=True)
        if home.stat().st_mode & 0o077:
            home.chmod(0o700)  # DVC lets everyone write to what it makes in there
        ignored = home / ".gitignore"
        if not ignored.exists():
            ignored.write_text("*\n")
        made.mkdir(exist_ok=True)
    except OSError as error:
        raise FacsimileError(
            f"{error.filename}: {error.strerror}; whoever runs Facsimile must own {home}"
        ) from None
    check_writable(made, "whoever runs Facsimile must be allowed to")
    return made


def check_writable(path: Path, cure: str) -> None:
    """Raises FacsimileError, which ends in `cure`, where a folder cannot be written to."""
    try:
        with tempfile.TemporaryFile(dir=path):
            pass
    except OSError as error:
        raise FacsimileError(f"{path}: cannot be written ({error.strerror}); {cure}") from None


def environment(root: Path) -> dict[str, str]:
    """Where DVC and the stages of a project are to keep their caches; what the user has set stays.

    Raises:
        FacsimileError: the folder for it cannot be written.
    """
    folders = {
        # By default in /var/tmp, open to everyone, although what lies there is unpickled.
        "DVC_SITE_CACHE_DIR": "dvc",
        "MPLCONFIGDIR": "matplotlib",
    }
    if not os.access(Path(facsimile.__file__).parent, os.W_OK):
        folders["NUMBA_CACHE_DIR"] = "numba"  # by default beside the code
    return {
        **{
            name: str(make_folder(root, tool))
            for name, tool in folders.items()
            if name not in os.environ
        },
        **user_environment(root),
        **no_git_environment(root),
    }


def user_environment(root: Path) -> dict[str, str]:
    """HOME and USER where there are none, as for a bare user id in a container.

    Libraries end in tracebacks over either.
    """
    found = {}
    try:
        reachable = os.access(Path.home(), os.X_OK)
    except RuntimeError:  # no HOME, nor is the user known
        reachable = False
    if not reachable:
        found["HOME"] = str(make_folder(root, "home"))
    try:
        getpass.getuser()
    except (KeyError, OSError):  # the latter from Python 3.13 on
        found["USER"] = str(os.getuid())
    return found


def is_under_git(root: Path) -> bool:
    """Whether a project, or a folder that it lies in, is a git checkout."""
    root = root.resolve()
    return any((path / ".git").exists() for path in (root, *root.parents))


def no_git_environment(root: Path) -> dict[str, str]:
    """What lets DVC run where there is no git: a copy of a project, an archive, a container.

    ``core.no_scm`` can be set by files only. It is set in DVC's system-wide one, or rather a copy
    of that, for DVC processes started here: left behind in the project it would still hold when
    that has come under git.
    """
    if is_under_git(root):
        return {}
    # dvc.dirs would know, but Prefect's workers load flows with this folder first in the path, so
    # that `dvc` would be our own module.
    system = os.environ.get("DVC_SYSTEM_CONFIG_DIR") or site_config_dir("dvc", "iterative")
    config = ConfigObj(str(Path(system) / "config"))
    config.filename = None  # its lines are then returned, not written
    config.setdefault("core", {})["no_scm"] = "true"
    text = "\n".join([*config.write(), ""])
    path = make_folder(root, "dvc-config") / "config"
    if not path.exists() or path.read_text() != text:  # stages side by side read it
        path.write_text(text)
    return {"DVC_SYSTEM_CONFIG_DIR": str(path.parent)}
