"""The editor interface: changing Action Units of faces in the latent space of a generator.

An editor is fitted once, saved, and then maps codes of faces to codes of edited faces. Code outside
the module of an editor uses it only through `Editor`.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal, Protocol, Self

import numpy as np
import pandas as pd
from torch import Tensor

from facsimile.editing.causal_graph import CausalGraph
from facsimile.editor_options import EditorOptions
from facsimile.generator.base import Codes, Generator

Targets = Literal["absolute", "relative", "reference"]
"""How an editor interprets its targets. For neutral faces, all three are equivalent.

- absolute: AU levels of the edited face.
- relative: rise of each AU above the level of the original face.
- reference: AU levels, for which the editor picks a training face to copy.
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
    """

    aus: tuple[str, ...]
    train: AnnotatedFaces
    val: AnnotatedFaces
    neutral: Codes
    attributes: AnnotatedFaces
    graph: CausalGraph


class Editor(Protocol):
    """A method of changing Action Units, fitted or loaded.

    Attributes:
        name: key in the registry, and column ``editor`` of every generated row.
        file: name of the file with everything that `edit` needs.
        targets: how `edit` interprets its targets.
        aus: AUs that it can edit, in the order of ``AUS``.
        z_dim: dimension of the codes that it edits.
        digest: MD5 of the saved file, and column ``editor_md5`` of every generated row; None before
            it is saved.
    """

    name: ClassVar[str]
    file: ClassVar[str]
    targets: ClassVar[Targets]
    aus: tuple[str, ...]
    z_dim: int
    digest: str | None

    def __init__(self, options: EditorOptions) -> None: ...

    def fit(self, data: EditorData, generator: Generator, progress: Progress = no_progress) -> Self:
        """Fit and return the editor. Raises FacsimileError if the data do not suffice."""
        ...

    def edit(self, codes: Codes, targets: Tensor) -> Codes:
        """Codes of edited faces, with the same x_T.

        Args:
            codes: codes of N faces.
            targets: (N, 12) in the order of ``AUS``, 1 = FACS level E; 0 leaves an AU unchanged.

        Raises:
            FacsimileError: a target is given for an AU that is not in `aus`.
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
