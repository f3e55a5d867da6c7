"""What every editor can do: change the Action Units of faces in the latent space of a generator.

An editor is fitted once, saved, and then maps codes of faces to codes of edited faces. Everything
outside the module of an editor knows it as `Editor`.
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
"""How an editor reads its targets, of which all mean the same on a neutral face.

- absolute: the AU levels that the edited face shows.
- relative: how far each AU rises above the level of the face.
- reference: AU levels, for which the editor picks a face of its training data to copy.
"""

Progress = Callable[[str, int, str], AbstractContextManager[Callable[[int], None]]]
"""``progress(task, total, unit)``: a context that yields ``advance(count)``."""


@contextmanager
def no_progress(task: str, total: int, unit: str) -> Iterator[Callable[[int], None]]:
    """A `Progress` that shows nothing."""
    yield lambda count: None


@dataclass(frozen=True)
class AnnotatedFaces:
    """N faces with labels.

    Attributes:
        codes: without x_T.
        aus: AU intensities in [0, 1], (N, 12) in the order of ``AUS``, NaN = not annotated.
        nuisances: labels in [0, 1], (N, 4) in the order of ``NUISANCES``, NaN = not annotated.
        subjects: N subject ids.
        read_images: decodes the images, uint8 (N, H, W, 3). Only editors that look at pixels
            call it.
    """

    codes: Codes
    aus: np.ndarray
    nuisances: np.ndarray
    subjects: np.ndarray
    read_images: Callable[[], np.ndarray]


@dataclass(frozen=True)
class EditorData:
    """What an editor may be fitted on. No subject is in two splits, and none is a test subject.

    Attributes:
        aus: AUs with enough labels to learn.
        train: AU-labelled faces to fit on.
        val: AU-labelled faces to choose and calibrate by.
        neutral: validation faces that show no AU, with x_T, to try edits on; may be empty.
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
    """A way to change Action Units, fitted or loaded.

    Attributes:
        name: key in the registry; column ``editor`` of every generated row.
        file: name of the file that holds everything `edit` needs.
        targets: how `edit` reads its targets.
        aus: AUs that it can edit, in the order of ``AUS``.
        z_dim: dimensions of the codes that it edits.
        digest: MD5 of the saved file, column ``editor_md5`` of every generated row; None before
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
        """Fit and return the editor. Raises FacsimileError if the data are not enough."""
        ...

    def edit(self, codes: Codes, targets: Tensor) -> Codes:
        """Codes of edited faces, with the same x_T.

        Args:
            codes: of N faces.
            targets: (N, 12) in the order of ``AUS``, 1 = FACS level E; 0 leaves an AU as it is.

        Raises:
            FacsimileError: a target for an AU that is not among `aus`.
        """
        ...

    def entailed(self, au: str) -> tuple[str, ...]:
        """AUs whose intensity is unknown after an edit of `au`."""
        ...

    def metrics(self) -> dict[str, Any]:
        """Figures of merit of the fit, for metrics.json."""
        ...

    def report(self) -> pd.DataFrame:
        """A table for readers of the report, one row an AU; columns hold text or numbers."""
        ...

    def save(self, folder: Path) -> None:
        """Write `file`, and whatever explains the fit, into a folder that exists."""
        ...

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote. Raises FacsimileError if that is not readable."""
        ...
