"""The state folder of a project, ``.facsimile``: files that tools usually keep in ~ or /var/tmp.

With it, nothing is written outside the project, and no file that other users can write is read.
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
    """Create ``.facsimile/<tool>`` in a project: private to its owner and ignored by git.

    Raises:
        FacsimileError: the folder is not writable.
    """
    state = root.resolve() / FOLDER
    folder = state / tool
    try:
        state.mkdir(mode=0o700, exist_ok=True)
        if state.stat().st_mode & 0o077:
            state.chmod(0o700)  # DVC creates its files in here world-writable
        ignored = state / ".gitignore"
        if not ignored.exists():
            ignored.write_text("*\n")
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise FacsimileError(
            f"{error.filename}: {error.strerror}; run Facsimile as the owner of {state}"
        ) from None
    check_writable(folder, "run Facsimile as a user who may write there")
    return folder


def check_writable(path: Path, remedy: str) -> None:
    """Raise FacsimileError, ending in `remedy`, if a folder is not writable."""
    try:
        with tempfile.TemporaryFile(dir=path):
            pass
    except OSError as error:
        raise FacsimileError(f"{path}: not writable ({error.strerror}); {remedy}") from None


def environment(root: Path) -> dict[str, str]:
    """Variables that move the caches of DVC and the stages into the project, unless already set.

    Raises:
        FacsimileError: the state folder is not writable.
    """
    folders = {
        # The default in /var/tmp is world-writable, yet DVC unpickles files from it.
        "DVC_SITE_CACHE_DIR": "dvc",
        "MPLCONFIGDIR": "matplotlib",
    }
    if not os.access(Path(facsimile.__file__).parent, os.W_OK):
        folders["NUMBA_CACHE_DIR"] = "numba"  # the default is beside the code
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
    """HOME and USER if they are missing, as for a bare user id in a container.

    Several libraries crash without them.
    """
    variables = {}
    try:
        reachable = os.access(Path.home(), os.X_OK)
    except RuntimeError:  # HOME is not set and the user is not in the password database
        reachable = False
    if not reachable:
        variables["HOME"] = str(make_folder(root, "home"))
    try:
        getpass.getuser()
    except (KeyError, OSError):  # OSError from Python 3.13 on
        variables["USER"] = str(os.getuid())
    return variables


def is_under_git(root: Path) -> bool:
    """Whether a project or one of its parent folders is a git checkout."""
    root = root.resolve()
    return any((path / ".git").exists() for path in (root, *root.parents))


def no_git_environment(root: Path) -> dict[str, str]:
    """Variables that let DVC run without git, for example in an archive or a container.

    ``core.no_scm`` can only be set in a config file. It goes into a copy of DVC's system-wide
    config, used only by DVC processes started here: in the project's own config it would remain
    in force after the project is put under git.
    """
    if is_under_git(root):
        return {}
    # Not taken from dvc.dirs: Prefect's workers put this folder first on sys.path, where
    # flows/dvc.py shadows the package `dvc`.
    system = os.environ.get("DVC_SYSTEM_CONFIG_DIR") or site_config_dir("dvc", "iterative")
    config = ConfigObj(str(Path(system) / "config"))
    config.filename = None  # makes `write` return the lines
    config.setdefault("core", {})["no_scm"] = "true"
    text = "\n".join([*config.write(), ""])
    path = make_folder(root, "dvc-config") / "config"
    if not path.exists() or path.read_text() != text:  # concurrent stages may be reading it
        path.write_text(text)
    return {"DVC_SYSTEM_CONFIG_DIR": str(path.parent)}
