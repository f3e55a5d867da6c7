"""Edits of pictures of faces: what `facsimile edit`, `transfer` and `studio` have in common.

A picture is opened once: its AUs are read, and its codes and x_T computed. It can then be edited
any number of times.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from facsimile.editing.base import Change, Editor, SourceFaces
from facsimile.errors import FacsimileError
from facsimile.faces.annotation import keep_readings
from facsimile.faces.aus import AUS
from facsimile.faces.tables import to_tensor, to_uint8
from facsimile.generator.base import Generator


class AUReader(Protocol):
    """Reads AUs from pictures, such as `facsimile.detection.AUEnsemble`."""

    def predict(self, images: np.ndarray) -> np.ndarray:
        """AU intensities (N, 12), unclipped, of uint8 images (N, H, W, 3)."""
        ...


@dataclass(frozen=True)
class OpenedFaces:
    """N pictures of faces, ready to be edited or to copy expressions from.

    Attributes:
        images: uint8 (N, H, W, 3).
        aus: AU intensities (N, 12) that were read from them, unclipped.
        source: their codes and pictures.
    """

    images: np.ndarray
    aus: np.ndarray
    source: SourceFaces

    @property
    def levels(self) -> Tensor:
        """The AU readings within [0, 1], (N, 12)."""
        return torch.from_numpy(self.aus).clamp(0, 1)


def open_faces(
    images: np.ndarray, generator: Generator, reader: AUReader, *, editable: bool = True
) -> OpenedFaces:
    """Read the AUs of pictures, and compute their codes.

    Args:
        images: aligned faces, uint8 (N, H, W, 3) with H = W = the generator's `image_size`.
        generator: generator of the codes.
        reader: reads the AUs.
        editable: whether to compute x_T; a face to copy an expression from needs none.
    """
    pictures = to_tensor(images)
    codes = generator.encode(pictures)
    if editable:
        codes = generator.invert(pictures, codes)
    return OpenedFaces(images, reader.predict(images), SourceFaces(codes, pictures))


def target_levels(levels: Mapping[str, float], editor: Editor) -> Tensor:
    """AU levels (12,) in the order of ``AUS``, NaN for AUs that stay as they are.

    Args:
        levels: AU → intensity, 1 = FACS level E.
        editor: the editor that is to reach them.

    Raises:
        FacsimileError: the editor cannot change one of the AUs.
    """
    if unknown := [au for au in levels if au not in editor.aus]:
        raise FacsimileError(
            f"editor {editor.name} cannot change {', '.join(unknown)}; it changes "
            f"{', '.join(editor.aus)}"
        )
    return torch.tensor([levels.get(au, np.nan) for au in AUS], dtype=torch.float32)


def set_levels(faces: OpenedFaces, target: Tensor) -> Change:
    """The change of all faces to the same levels (12,); see `target_levels`."""
    return Change(faces.levels, target.expand(len(faces.images), -1))


def copy_expression(faces: OpenedFaces, reference: OpenedFaces, editor: Editor) -> Change:
    """The change of all faces to the expression of one reference face.

    Editors that take no reference bring all AUs to the levels that are read from it.
    """
    rows = [0] * len(faces.images)
    read = keep_readings(reference.levels.numpy(), editor.aus).astype(np.float32)
    target = torch.from_numpy(read)[rows]
    if "reference" not in editor.takes:
        return Change(faces.levels, target)
    face = reference.source
    return Change(faces.levels, target, SourceFaces(face.codes[rows], face.images[rows]))


def apply_change(
    faces: OpenedFaces, change: Change, editor: Editor, generator: Generator
) -> np.ndarray:
    """Edited pictures, uint8 (N, H, W, 3). Raises like `Editor.edit`."""
    return to_uint8(editor.edit(faces.source, change, generator).images)
