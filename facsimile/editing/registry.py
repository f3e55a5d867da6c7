"""Registry of editors. Saves and loads any of them.

To add an editor, write a module that implements `Editor`, and add its class here and its options to
facsimile/editor_options.py.
"""

import json
from pathlib import Path

from facsimile.editing.base import Editor
from facsimile.editing.dual_branch import DualBranchEditor
from facsimile.editing.label_free import LabelFreeEditor
from facsimile.editing.linear_editor import LinearEditor
from facsimile.editing.picture_editors import AbsoluteEditor, RelativeEditor
from facsimile.errors import FacsimileError

INDEX = "editor.json"
"""File in the folder of a saved editor that holds its name."""

EDITORS: dict[str, type[Editor]] = {
    LinearEditor.name: LinearEditor,
    DualBranchEditor.name: DualBranchEditor,
    RelativeEditor.name: RelativeEditor,
    AbsoluteEditor.name: AbsoluteEditor,
    LabelFreeEditor.name: LabelFreeEditor,
}


def save_editor(editor: Editor, folder: Path | str) -> None:
    """Save a fitted editor for `load_editor`. The folder is created if necessary."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    editor.save(folder)
    (folder / INDEX).write_text(json.dumps({"editor": editor.name}) + "\n")


def load_editor(folder: Path | str) -> Editor:
    """Load the editor saved in a folder.

    Raises:
        FacsimileError: a file is missing or broken, or the editor is unknown.
    """
    return _saved_class(Path(folder)).load(Path(folder))


def editor_file(folder: Path | str) -> Path:
    """The file whose MD5 is the digest of a saved editor. Raises like `load_editor`."""
    return Path(folder) / _saved_class(Path(folder)).file


def _saved_class(folder: Path) -> type[Editor]:
    path = folder / INDEX
    try:
        name = json.loads(path.read_text())["editor"]
    except OSError as error:
        raise FacsimileError(f"{path}: no editor here ({error.strerror})") from error
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise FacsimileError(f"{path}: does not name an editor ({error})") from error
    if name not in EDITORS:
        raise FacsimileError(f"{path}: editor {name!r} is not one of {', '.join(EDITORS)}")
    return EDITORS[name]
