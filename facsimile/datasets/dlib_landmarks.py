"""Landmarks of the faces in photographs, found by dlib: the optional extra ``photos``.

Finds faces that look towards the camera, with a histogram of oriented gradients (Dalal, Triggs:
Histograms of Oriented Gradients for Human Detection, CVPR 2005), and 68 landmarks of each, with
regression trees (Kazemi, Sullivan: One Millisecond Face Alignment with an Ensemble of Regression
Trees, CVPR 2014). FFHQ was aligned by the same landmarks.
"""

from functools import cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from PIL import Image

from facsimile.datasets.alignment import DOMINANCE
from facsimile.errors import FacsimileError

_INSTALL = "install it with pip install 'facsimile-faces[photos]'"

try:
    import dlib
except ImportError as error:
    raise FacsimileError(f"alignment needs dlib, but: {error}; {_INSTALL}") from error

SEARCHED = 1024
"""Longest side of the image in which faces are searched, pixels; larger ones are reduced to it."""

_WINDOW = 80
"""Width of the narrowest faces that the detector finds, pixels."""

_MODELS, _MODEL = "face_recognition_models", "shape_predictor_68_face_landmarks.dat"


def find(image: np.ndarray) -> np.ndarray | None:
    """Landmarks of all faces.

    Faces narrower than 40 pixels, or 4 % of the longer side of larger images, are not found.

    Args:
        image: uint8 RGB (H, W, 3).

    Returns:
        float (F, 68, 2) in iBUG order; None if no face is found.

    Raises:
        FacsimileError: the extra ``photos`` is not installed completely.
    """
    height, width = image.shape[:2]
    factor = max(1.0, max(height, width) / SEARCHED)
    image = np.ascontiguousarray(image, np.uint8)
    searched = image
    if factor > 1:
        size = (max(1, round(width / factor)), max(1, round(height / factor)))
        searched = np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BOX))
    faces = _detector()(searched, 0)
    # Enlarging the image takes four times as long, and finds only faces narrower than the window,
    # which do not matter beside one so much wider.
    if not any(face.width() >= DOMINANCE * _WINDOW for face in faces):
        faces = _detector()(searched, 1)
    if not faces:
        return None
    shapes = [_predictor()(image, _enlarge(face, factor)) for face in faces]
    return np.array([[(point.x, point.y) for point in shape.parts()] for shape in shapes], float)


def _enlarge(face: "dlib.rectangle", factor: float) -> "dlib.rectangle":
    edges = (face.left(), face.top(), face.right(), face.bottom())
    return dlib.rectangle(*(round(edge * factor) for edge in edges))


@cache
def _detector():
    return dlib.get_frontal_face_detector()


@cache
def _predictor():
    # Not imported: the package needs pkg_resources, which newer setuptools lack.
    package = find_spec(_MODELS)
    if package is None or package.origin is None:
        raise FacsimileError(f"alignment needs {_MODELS}; {_INSTALL}")
    return dlib.shape_predictor(str(Path(package.origin).parent / "models" / _MODEL))
