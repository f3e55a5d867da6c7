"""Edits pictures of faces with a fitted editor, outside the pipeline."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import chdir
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from facsimile.editing import Change, Editor, SourceFaces, load_editor
from facsimile.errors import FacsimileError
from facsimile.faces.annotation import keep_readings
from facsimile.faces.aus import AUS
from facsimile.faces.tables import encode_png, to_tensor, to_uint8
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
            self.editor = _find_editor(method)
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
        unknown = [au for au in levels if au not in self.editor.aus]
        if unknown:
            raise FacsimileError(
                f"editor {self.editor.name} cannot change {', '.join(unknown)}; it changes "
                f"{', '.join(self.editor.aus)}"
            )
        target = torch.tensor([levels.get(au, np.nan) for au in AUS], dtype=torch.float32)

        def change(source: torch.Tensor) -> Change:
            return Change(source, target.expand(len(source), -1))

        return self._edit(files, change, on_file)

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
        pictures = to_tensor(face[None])
        codes = self.generator.encode(pictures)
        read = self.reader.predict(face[None]).clip(0, 1)
        levels = torch.from_numpy(keep_readings(read, self.editor.aus).astype(np.float32))

        def change(source: torch.Tensor) -> Change:
            count = len(source)
            target = levels.expand(count, -1)
            if "reference" not in self.editor.takes:
                return Change(source, target)
            rows = [0] * count
            return Change(source, target, SourceFaces(codes[rows], pictures[rows]))

        return self._edit(files, change, on_file)

    def _edit(
        self,
        files: Mapping[Path, Path],
        change: Callable[[torch.Tensor], Change],
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
            originals = np.stack(faces)
            before = self.reader.predict(originals)
            wanted = change(torch.from_numpy(before).clamp(0, 1))
            edited = self._apply(originals, wanted)
            after = self.reader.predict(edited)
            for row, (path, out) in enumerate(usable):
                self._write(edited[row], path, out)
                yield Edit(path, out, before[row], wanted.target[row].numpy(), after[row])
                on_file()

    def _apply(self, images: np.ndarray, change: Change) -> np.ndarray:
        pictures = to_tensor(images)
        codes = self.generator.invert(pictures, self.generator.encode(pictures))
        edited = self.editor.edit(SourceFaces(codes, pictures), change, self.generator)
        return to_uint8(edited.images)

    def _write(self, image: np.ndarray, path: Path, out: Path) -> None:
        """Write a PNG that says that it is synthetic and how it was made."""
        provenance = {
            "source": path.name,
            "editor": self.editor.name,
            "editor_md5": self.editor.digest or "",
            "generator_md5": self.generator.digest,
        }
        out.parent.mkdir(parents=True, exist_ok=True)
        with atomic_file(out) as temporary:
            temporary.write_bytes(embed(encode_png(image), packet(out.name, None, provenance)))


def _missing() -> FacsimileError:
    return FacsimileError("does not exist")


def _find_editor(method: str) -> Editor:
    """The editor of the pipeline, or one that `facsimile editors` has fitted."""
    if not EDITOR.exists():
        raise FacsimileError(f"{EDITOR}: no editor is fitted yet; run `facsimile run`")
    chosen = load_editor(EDITOR)
    if method in ("", chosen.name):
        return chosen
    folder = EDITORS_FOLDER / method
    if not folder.exists():
        raise FacsimileError(
            f"{folder}: editor {method} is not fitted; run `facsimile editors`, or set "
            f"editor.method to {method} in {PARAMS} and run `facsimile run`"
        )
    return load_editor(folder)


def name_outputs(paths: Sequence[Path], out: Path) -> dict[Path, Path]:
    """Picture → file to write.

    Args:
        paths: pictures, or folders of pictures.
        out: a PNG for a single picture, otherwise a folder, in which subfolders are kept.

    Raises:
        FacsimileError: a folder has no pictures, several pictures would become one file, or a
            picture would be overwritten by its edit.
    """
    from facsimile.datasets.frames import is_image

    if len(paths) == 1 and not paths[0].is_dir():
        if out.suffix.lower() != ".png":
            raise FacsimileError(f"{out}: pictures are written as PNG; name a file that ends so")
        files = {paths[0]: out}
    else:
        files = {}
        for path in paths:
            folder = path if path.is_dir() else path.parent
            inside = sorted(filter(is_image, path.rglob("*"))) if path.is_dir() else [path]
            if not inside:
                raise FacsimileError(f"{path}: no pictures in this folder")
            for file in inside:
                files[file] = (out / file.relative_to(folder)).with_suffix(".png")
    sources = {path.resolve() for path in files}
    written: dict[Path, Path] = {}
    for path, target in files.items():
        if target.resolve() in sources:
            raise FacsimileError(f"{target} would be overwritten; name another file or folder")
        if other := written.get(target):
            raise FacsimileError(f"{path} and {other} would both become {target}")
        written[target] = path
    return files
