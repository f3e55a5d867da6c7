"""Edits pictures of faces with a fitted editor, outside the pipeline."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import chdir
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from facsimile.editing import Change, Editor, load_editor
from facsimile.editing.pictures import (
    OpenedFaces,
    apply_change,
    copy_expression,
    open_faces,
    set_levels,
    target_levels,
)
from facsimile.editor_options import OPTIONS
from facsimile.errors import FacsimileError
from facsimile.faces.tables import encode_png
from facsimile.files import atomic_file
from facsimile.generator import Generator
from facsimile.release import embed, packet
from flows.picture_files import project_preprocessing
from tasks.helpers.generator_loading import load_generator
from tasks.params import PARAMS, read_params
from tasks.shared.artefacts import BASELINE, EDITOR, EDITORS_FOLDER
from tasks.shared.machine import find_device
from tasks.shared.stage import Compute

if TYPE_CHECKING:
    from facsimile.datasets import Preprocessing

_BATCH = 16  # faces held in memory


@dataclass(frozen=True)
class Edit:
    """One edited picture.

    Attributes:
        path: the original.
        out: the edited picture; None if there is an error.
        before, wanted, after: AUs (12,) that were read from the original, that the edit was meant
            to reach (NaN: unchanged), and that were read from the result; empty if there is an
            error.
        error: why the face could not be edited; completes a sentence that begins with its path.
    """

    path: Path
    out: Path | None
    before: np.ndarray
    wanted: np.ndarray
    after: np.ndarray
    error: str = ""


class FaceEditing:
    """The editor, generator and AU readers of a project.

    Args:
        root: project folder.
        method: editor to use; by default, that of params.yaml.
        landmarks, crop: see `project_preprocessing`.

    Raises:
        FacsimileError: there is no such editor, or the pipeline has not run.
    """

    def __init__(
        self, root: Path, method: str = "", *, landmarks: str = "", crop: bool | None = None
    ) -> None:
        # Imported late, because detectors load slowly.
        from facsimile.detection import AUEnsemble

        with chdir(root):
            sampling = read_params(PARAMS)["sampling"]
            self.editor = find_editor(method)
            compute = Compute(find_device(None), _BATCH, 1)
            self.generator: Generator = load_generator(compute, sampling)
            self.reader = AUEnsemble.load(BASELINE, compute.device)
        self.editor.check(self.generator)
        self.preprocessing: Preprocessing = project_preprocessing(
            root, self.generator.image_size, landmarks, crop
        )

    def set_aus(
        self,
        files: Mapping[Path, Path],
        levels: Mapping[str, float],
        on_file: Callable[[], None] = lambda: None,
    ) -> Iterator[Edit]:
        """Bring AUs to given levels.

        Args:
            files: picture → file to write.
            levels: AU → intensity in [0, 1], 1 = FACS level E. Other AUs stay as they are.
            on_file: called after each file.

        Raises:
            FacsimileError: the editor cannot change one of the AUs.
        """
        target = target_levels(levels, self.editor)
        return self._edit(files, lambda faces: set_levels(faces, target), on_file)

    def copy_expression(
        self,
        files: Mapping[Path, Path],
        reference: Path,
        on_file: Callable[[], None] = lambda: None,
    ) -> Iterator[Edit]:
        """Give faces the expression of a reference face.

        Editors that take no reference bring all AUs to the levels that are read from it.

        Args:
            files: picture → file to write.
            reference: picture of the reference face.
            on_file: called after each file.

        Raises:
            FacsimileError: the reference is not a face.
        """
        face = self.preprocessing.prepare(reference)
        if isinstance(face, FacsimileError):
            raise FacsimileError(f"{reference} {face}")
        opened = open_faces(face[None], self.generator, self.reader, editable=False)
        return self._edit(files, lambda faces: copy_expression(faces, opened, self.editor), on_file)

    def _edit(
        self,
        files: Mapping[Path, Path],
        change: Callable[[OpenedFaces], Change],
        on_file: Callable[[], None],
    ) -> Iterator[Edit]:
        """Edit batch by batch; pictures without a usable face become errors."""
        waiting = iter(files.items())
        while batch := list(islice(waiting, _BATCH)):
            faces: list[np.ndarray] = []
            usable: list[tuple[Path, Path]] = []
            for path, out in batch:
                face = self.preprocessing.prepare(path) if path.exists() else _missing()
                if isinstance(face, FacsimileError):
                    yield Edit(path, None, *[np.empty(0)] * 3, str(face))
                    on_file()
                else:
                    faces.append(face)
                    usable.append((path, out))
            if not faces:
                continue
            opened = open_faces(np.stack(faces), self.generator, self.reader)
            wanted = change(opened)
            edited = apply_change(opened, wanted, self.editor, self.generator)
            after = self.reader.predict(edited)
            for row, (path, out) in enumerate(usable):
                self._write(edited[row], path, out)
                yield Edit(path, out, opened.aus[row], wanted.target[row].numpy(), after[row])
                on_file()

    def _write(self, image: np.ndarray, path: Path, out: Path) -> None:
        png = marked_png(image, out.name, path.name, self.editor, self.generator)
        out.parent.mkdir(parents=True, exist_ok=True)
        with atomic_file(out) as temporary:
            temporary.write_bytes(png)


def marked_png(
    image: np.ndarray, name: str, source: str, editor: Editor, generator: Generator
) -> bytes:
    """A PNG that says that it is synthetic and how it was made.

    Args:
        image: edited picture, uint8 (H, W, 3).
        name: name of the picture.
        source: name of the original.
        editor, generator: what has made it.
    """
    provenance = {
        "source": source,
        "editor": editor.name,
        "editor_md5": editor.digest or "",
        "generator_md5": generator.digest,
    }
    return embed(encode_png(image), packet(name, None, provenance))


def _missing() -> FacsimileError:
    return FacsimileError("does not exist")


def fitted_editors() -> dict[str, Path]:
    """Name → folder of the editor of the pipeline, then of those that `facsimile editors` fitted.

    Raises:
        FacsimileError: no editor is fitted.
    """
    if not EDITOR.exists():
        raise FacsimileError(f"{EDITOR}: no editor is fitted yet; run `facsimile run`")
    others = {name: EDITORS_FOLDER / name for name in OPTIONS if (EDITORS_FOLDER / name).exists()}
    own = load_editor(EDITOR).name
    return {own: EDITOR} | {name: folder for name, folder in others.items() if name != own}


def find_editor(method: str) -> Editor:
    """The fitted editor of a name; that of the pipeline if it is empty.

    Raises:
        FacsimileError: it is not fitted.
    """
    fitted = fitted_editors()
    if method and method not in fitted:
        raise FacsimileError(
            f"{EDITORS_FOLDER / method}: editor {method} is not fitted; run `facsimile editors`, "
            f"or set editor.method to {method} in {PARAMS} and run `facsimile run`"
        )
    return load_editor(fitted[method] if method else EDITOR)
