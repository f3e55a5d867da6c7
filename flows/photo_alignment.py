"""Crops aligned faces from photographs, without a project."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from facsimile.datasets import Aligner, Preprocessing
from facsimile.errors import FacsimileError
from facsimile.faces.tables import encode_png
from facsimile.files import atomic_file


@dataclass(frozen=True)
class AlignedPhoto:
    """What has become of a photograph.

    Attributes:
        path: the photograph.
        error: why there is no face; completes a sentence that begins with its path.
        kept: whether its face was there already.
    """

    path: Path
    error: str = ""
    kept: bool = False


def align_photos(
    files: Mapping[Path, Path],
    size: int,
    model: str,
    overwrite: bool,
    on_file: Callable[[], None] = lambda: None,
) -> Iterator[AlignedPhoto]:
    """Write the face of each photograph as a PNG.

    Args:
        files: photograph → file to write.
        size: side of the faces, pixels.
        model: what finds the landmarks, see `Aligner`.
        overwrite: whether to replace existing files.
        on_file: called after each photograph.

    Raises:
        FacsimileError: the model cannot be used.
    """
    preprocessing = Preprocessing(size, aligner=Aligner(model))
    for path, out in files.items():
        if out.exists() and not overwrite:
            yield AlignedPhoto(path, kept=True)
        else:
            face = preprocessing.prepare(path)
            if isinstance(face, FacsimileError):
                yield AlignedPhoto(path, str(face))
            else:
                with atomic_file(out) as temporary:
                    temporary.write_bytes(encode_png(face))
                yield AlignedPhoto(path)
        on_file()
