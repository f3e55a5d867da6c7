"""The editor interface: changing Action Units of faces.

An editor is fitted once, saved, and then maps faces to edited faces. Most editors change the code
of a face, which a generator decodes (`CodeEditor`); others change its picture (`PictureEditor`).
Code outside the module of an editor uses it only through `Editor`.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal, Protocol, Self

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from facsimile.editing.causal_graph import CausalGraph
from facsimile.editing.neutralizer import Neutralizer
from facsimile.editor_options import EditorOptions
from facsimile.errors import FacsimileError
from facsimile.generator.base import Codes, Generator

Condition = Literal["absolute", "relative", "reference"]
"""What an editor is conditioned on.

- absolute: AU levels of the edited face.
- relative: rise of each AU above the level of the original face.
- reference: another face, whose expression is copied.
"""

Progress = Callable[[str, int, str], AbstractContextManager[Callable[[int], None]]]
"""``progress(task, total, unit)``: a context manager that yields ``advance(count)``."""


@contextmanager
def no_progress(task: str, total: int, unit: str) -> Iterator[Callable[[int], None]]:
    """A `Progress` without output."""
    yield lambda count: None


@dataclass(frozen=True)
class AnnotatedFaces:
    """N faces with labels.

    Attributes:
        codes: without x_T.
        aus: AU intensities in [0, 1], (N, 12) in the order of ``AUS``, NaN = not annotated.
        nuisances: labels in [0, 1], (N, 4) in the order of ``NUISANCES``, NaN = not annotated.
        subjects: N subject ids.
        read_images: decodes the images, uint8 (N, H, W, 3). Called only by editors that need
            pixels.
    """

    codes: Codes
    aus: np.ndarray
    nuisances: np.ndarray
    subjects: np.ndarray
    read_images: Callable[[], np.ndarray]


@dataclass(frozen=True)
class EditorData:
    """Data for fitting an editor. Subjects of `train` and `val` differ; none is a test subject.

    Attributes:
        aus: AUs with enough labels to learn.
        train: AU-labelled faces to fit on.
        val: AU-labelled faces for model selection and calibration.
        neutral: codes with x_T of neutral validation faces to try edits on; may be empty.
        attributes: faces with nuisance labels.
        graph: declared causal relations between AUs.
        neutralizer: predicts AUs and attributes from codes; see `facsimile.editing.neutralize`.
    """

    aus: tuple[str, ...]
    train: AnnotatedFaces
    val: AnnotatedFaces
    neutral: Codes
    attributes: AnnotatedFaces
    graph: CausalGraph
    neutralizer: Neutralizer


@dataclass(frozen=True)
class SourceFaces:
    """N faces to edit, or to copy expressions from.

    Attributes:
        codes: their codes; with x_T if they are edited.
        images: their pictures, float32 (N, 3, H, W) in [-1, 1]; None for faces that exist only as
            codes.
    """

    codes: Codes
    images: Tensor | None = None

    def __len__(self) -> int:
        return len(self.codes)

    def pictures(self, generator: Generator) -> Tensor:
        """Pictures of the faces, decoded from the codes if there are none."""
        return generator.decode(self.codes) if self.images is None else self.images


@dataclass(frozen=True)
class Change:
    """What to change on N faces.

    Levels are (N, 12) in the order of ``AUS``; 1 = FACS level E.

    Attributes:
        source: AU levels of the faces; NaN = unknown, for editors that do not need them.
        target: AU levels to reach; NaN leaves an AU as it is.
        references: N faces whose expressions are copied instead, for editors that take references.
    """

    source: Tensor
    target: Tensor
    references: SourceFaces | None = None

    @classmethod
    def of_neutral(cls, target: Tensor) -> Self:
        """A change of faces whose AUs are all 0."""
        return cls(torch.zeros_like(target), target)

    @property
    def relative(self) -> Tensor:
        """Rise of each AU, (N, 12); 0 where it is left as it is."""
        return torch.nan_to_num(self.target - self.source, nan=0.0)

    @property
    def absolute(self) -> Tensor:
        """Level of each AU after the edit, (N, 12)."""
        return torch.where(self.target.isnan(), self.source, self.target)


@dataclass(frozen=True)
class EditedFaces:
    """N edited faces.

    Attributes:
        images: float32 (N, 3, H, W) in [-1, 1].
        z: their semantic codes (N, D).
    """

    images: Tensor
    z: Tensor


class Editor(Protocol):
    """A method of changing Action Units, fitted or loaded.

    Attributes:
        name: key in the registry, and column ``editor`` of every generated row.
        file: name of the file with everything that `edit` needs.
        takes: what the editor is conditioned on. Every editor reaches target levels; one that
            takes only references copies the training face that fits them best.
        needs_source: whether it needs `Change.source`; other editors estimate it where it is NaN.
        aus: AUs that it can edit, in the order of ``AUS``.
        digest: MD5 of the saved file, and column ``editor_md5`` of every generated row; None before
            it is saved.
    """

    name: ClassVar[str]
    file: ClassVar[str]
    takes: ClassVar[tuple[Condition, ...]]
    needs_source: ClassVar[bool]
    aus: tuple[str, ...]
    digest: str | None

    def __init__(self, options: EditorOptions) -> None: ...

    def fit(self, data: EditorData, generator: Generator, progress: Progress = no_progress) -> Self:
        """Fit and return the editor. Raises FacsimileError if the data do not suffice."""
        ...

    def check(self, generator: Generator) -> None:
        """Raise FacsimileError if it was fitted for another kind of generator."""
        ...

    def edit(self, faces: SourceFaces, change: Change, generator: Generator) -> EditedFaces:
        """Edit N faces.

        Args:
            faces: faces with x_T.
            change: what to change. AUs that are not in `aus` must not change.
            generator: generator of the codes.

        Raises:
            FacsimileError: an AU changes that is not in `aus`, or there are references and the
                editor takes none.
        """
        ...

    def entailed(self, au: str) -> tuple[str, ...]:
        """AUs whose intensity is unknown after an edit of `au`."""
        ...

    def metrics(self) -> dict[str, Any]:
        """Quality of the fit, for metrics.json."""
        ...

    def report(self) -> pd.DataFrame:
        """A table for the report with one row per AU; columns hold text or numbers."""
        ...

    def save(self, folder: Path) -> None:
        """Write `file`, and optional details of the fit, into an existing folder."""
        ...

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote. Raises FacsimileError if it is not readable."""
        ...


def refuse_references(name: str, change: Change) -> None:
    """Raise FacsimileError if there are references; for editors that take none."""
    if change.references is not None:
        raise FacsimileError(f"editor {name} takes AU levels, not a reference face")


class CodeEditor:
    """Part of an `Editor` that changes semantic codes. x_T stays the same.

    Subclasses define `z_dim`, the dimension of the codes, and `edit_codes`.
    """

    name: ClassVar[str]
    z_dim: int

    def check(self, generator: Generator) -> None:
        if self.z_dim != generator.z_dim:
            raise FacsimileError(
                f"editor {self.name} takes codes of {self.z_dim} dimensions, the generator's "
                f"have {generator.z_dim}; fit the editor on codes of this generator"
            )

    def edit_codes(self, codes: Codes, change: Change) -> Codes:
        """Codes of edited faces. Raises like `Editor.edit`."""
        raise NotImplementedError

    def edit(self, faces: SourceFaces, change: Change, generator: Generator) -> EditedFaces:
        edited = self.edit_codes(faces.codes, change)
        return EditedFaces(generator.decode(edited), edited.z)


class PictureEditor:
    """Part of an `Editor` that changes pictures.

    Subclasses define `image_size`, H = W of the pictures, and `edit_pictures`.
    """

    name: ClassVar[str]
    image_size: int

    def check(self, generator: Generator) -> None:
        if self.image_size != generator.image_size:
            raise FacsimileError(
                f"editor {self.name} takes pictures of {self.image_size} pixels, the generator's "
                f"have {generator.image_size}; fit the editor for this generator"
            )

    def edit_pictures(self, images: Tensor, change: Change) -> Tensor:
        """Edited pictures, float32 (N, 3, H, W) in [-1, 1]. Raises like `Editor.edit`."""
        raise NotImplementedError

    def edit(self, faces: SourceFaces, change: Change, generator: Generator) -> EditedFaces:
        edited = self.edit_pictures(faces.pictures(generator).to(generator.device), change)
        return EditedFaces(edited, generator.encode(edited).z)
