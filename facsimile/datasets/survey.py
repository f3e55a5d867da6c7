"""Look at the pictures of a dataset without converting them: their sizes, and which are unusable.

Every picture is opened, which tells its format and size. Decoding and aligning take far longer, so
only some pictures are prepared as `Adapter.faces` prepares all of them.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count

import numpy as np
import pandas as pd
from PIL import Image

from facsimile.datasets.adapter import Adapter, ImageSource, Preprocessing
from facsimile.datasets.rejects import Rejects
from facsimile.errors import FacsimileError
from facsimile.faces.decoding import check_square
from facsimile.faces.images import open_image

PREPARED = 256
"""Maximum number of pictures that are prepared, evenly spaced."""

ALIGNED = 32
"""The same if a model finds their landmarks, which takes much longer."""

_BATCH = 256


@dataclass
class Pictures:
    """The pictures of a dataset.

    Attributes:
        videos: whether they are videos, of which only the first annotated frame is read.
        sizes: (width, height) → number of pictures, or of videos.
        prepared: how many were decoded and, if need be, aligned.
    """

    videos: bool
    sizes: Counter[tuple[int, int]] = field(default_factory=Counter)
    prepared: int = 0

    def look(
        self, source: ImageSource, preprocessing: Preprocessing, points: np.ndarray, prepare: bool
    ) -> FacsimileError | None:
        """Count a picture. Returns an error that says why it is unusable.

        Args:
            source, points: see `Preprocessing.prepare`.
            preprocessing: how the picture becomes a face.
            prepare: whether to make a face of it, too.
        """
        if isinstance(source, FacsimileError):
            return source
        try:
            size = _size(source)
            self.sizes[size] += 1
            if preprocessing.aligner is None and not preprocessing.crop:
                check_square(*size)
        except FacsimileError as error:
            return error
        if not prepare:
            return None
        self.prepared += 1
        face = preprocessing.prepare(source, points)
        return face if isinstance(face, FacsimileError) else None


def survey_pictures(
    adapter: Adapter,
    annotations: pd.DataFrame,
    preprocessing: Preprocessing,
    rejects: Rejects,
    advance: Callable[[int], None] = lambda count: None,
) -> tuple[pd.DataFrame, Pictures]:
    """Open the pictures of annotations.

    Args:
        adapter: reads the pictures.
        annotations: returned by `Adapter.open`.
        preprocessing: how the pictures become faces.
        rejects: receives unusable pictures.
        advance: called with the number of annotations done since the last call.

    Returns:
        The annotations whose pictures are not known to be unusable, and the pictures.
    """
    videos = "frame" in annotations
    looked_at = annotations.drop_duplicates("image_path") if videos else annotations
    model = preprocessing.aligner is not None and preprocessing.aligner.name is not None
    most = min(ALIGNED if model else PREPARED, len(looked_at))
    chosen = set(np.linspace(0, len(looked_at) - 1, most).astype(int))
    pictures = Pictures(videos)
    kept: list[pd.DataFrame] = []
    number = count()
    for rows, sources in adapter.images(looked_at, _BATCH):
        pairs = zip(sources, preprocessing.landmarks(rows), strict=True)
        results = [
            pictures.look(source, preprocessing, points, next(number) in chosen)
            for source, points in pairs
        ]
        kept.append(rejects.drop(rows, adapter.unusable(rows, results)))
        advance(len(rows))
    faces = pd.concat(kept, ignore_index=True)
    if videos:
        faces = annotations[annotations["image_path"].isin(faces["image_path"])]
    return faces, pictures


def _size(source: ImageSource) -> tuple[int, int]:
    if isinstance(source, Image.Image):
        return source.size
    with open_image(source or b"") as picture:
        return picture.size
