"""FFHQ alignment: crop a square whose rotation and scale follow the eyes and mouth.

Karras, Laine, Aila: A Style-Based Generator Architecture for Generative Adversarial Networks, CVPR
2019, appendix A. Legend, in pixels, x to the right and y down:

    e    vector from the left to the right eye
    m    vector from the midpoint of the eyes to the midpoint of the mouth corners
    x    half of a side of the square: direction e - rot90(m), length max(2 |e|, 1.8 |m|)
    y    half of the other side: rot90(x)
    c    centre of the square: midpoint of the eyes + 0.1 m
"""

import importlib
import threading
from collections.abc import Callable

import numpy as np
from PIL import Image
from scipy import ndimage

from facsimile.adapter_modules import LANDMARK_MODELS
from facsimile.errors import FacsimileError

POINTS = ("left_eye", "right_eye", "mouth_left", "mouth_right")
LANDMARKS = tuple(f"{point}_{axis}" for point in POINTS for axis in "xy")
"""Landmark columns, in pixels of the image as displayed; left is the left side of the image."""

LandmarkModel = Callable[[np.ndarray], np.ndarray | None]
"""uint8 (H, W, 3) → landmarks (5, 2) or (68, 2) of one face, see `four_points`, or those of F
faces, (F, 5, 2) or (F, 68, 2), of which one must dominate; None: no face."""

DOMINANCE = 2.0
"""A face is the subject of an image if it is more than so many times as wide as any other."""

# As fractions of the side of the square: margin kept around it, width of the mirrored border beyond
# the image, and standard deviation of the blur of that border.
_MARGIN, _MIRRORED, _BLUR = 0.1, 0.3, 0.02

# Minimum share of the square that must lie in the image: less is mostly mirrored skin.
_INSIDE = 1 / 3

# The square is sampled at this multiple of the output size, then reduced by an antialiasing filter.
_SUPERSAMPLING = 4


class Aligner:
    """Aligns the images of a dataset.

    Args:
        model: key of ``LANDMARK_MODELS``, or ``package.module:function`` of a `LandmarkModel`,
            called by one thread at a time; None if the dataset has landmarks.

    Raises:
        FacsimileError: the module or function does not exist, or a package that it needs.
    """

    def __init__(self, model: str | None = None) -> None:
        self.name = model
        self._lock = threading.Lock()
        if model:
            module, _, function = LANDMARK_MODELS.get(model, model).partition(":")
            try:
                self._find: LandmarkModel = getattr(importlib.import_module(module), function)
            except (ImportError, AttributeError) as error:
                raise FacsimileError(f"landmark model {model}: {error}") from error

    def __repr__(self) -> str:
        return f"Aligner({self.name!r})"

    def __call__(self, image: Image.Image, given: np.ndarray | None, size: int) -> np.ndarray:
        """`align` an image at its ``POINTS`` `given`, or where the model finds a face.

        Raises:
            FacsimileError: no face was found, or several; see `align`.
        """
        if not self.name:
            return align(image, given, size)
        with self._lock:
            landmarks = self._find(np.asarray(image))
        if landmarks is None or not len(landmarks):
            raise FacsimileError(f"has no face that {self.name} can find")
        if np.ndim(landmarks) == 3:
            landmarks = _subject(landmarks)
        try:
            return align(image, four_points(landmarks), size)
        except FacsimileError:
            raise
        except ValueError as error:
            raise FacsimileError(f"cannot be aligned: {self.name}: {error}") from error


def _subject(faces: np.ndarray) -> np.ndarray:
    """Landmarks of the face that the image shows, of those of all F faces (F, K, 2).

    Raises:
        FacsimileError: no face dominates the others, see ``DOMINANCE``.
    """
    widths = np.ptp(np.asarray(faces, float), axis=1)[:, 0]
    *others, largest = np.argsort(widths)
    if others and widths[largest] <= DOMINANCE * widths[others[-1]]:
        raise FacsimileError(f"shows {len(faces)} faces; crop it to one of them")
    return faces[largest]


def four_points(landmarks: np.ndarray) -> np.ndarray:
    """Reduce landmarks of a face to ``POINTS`` (4, 2).

    Args:
        landmarks: (5, 2): eyes, nose, mouth corners, left first; or (68, 2) in iBUG order, where
            an eye is the mean of its six points.

    Raises:
        ValueError: the landmarks have another shape.
    """
    points = np.asarray(landmarks, float)
    if points.shape == (5, 2):
        return points[[0, 1, 3, 4]]
    if points.shape == (68, 2):
        return np.stack([points[36:42].mean(0), points[42:48].mean(0), points[48], points[54]])
    raise ValueError(f"landmarks are {points.shape}, not (5, 2) or (68, 2)")


def align(image: Image.Image, points: np.ndarray, size: int) -> np.ndarray:
    """Crop an aligned face from an image; the area beyond its border is mirrored and blurred.

    Args:
        image: RGB image.
        points: ``POINTS`` (4, 2), relative to the centre of the upper left pixel.
        size: side of the result, pixels.

    Returns:
        uint8 (size, size, 3).

    Raises:
        FacsimileError: the points are invalid, or most of the face's surroundings are missing; the
            message completes a sentence that begins with the name of the image.
    """
    points = points + 0.5  # from pixel centres to distances from the image edge
    _check(points, image.size)
    centre, half = _square(points)
    down = np.array([-half[1], half[0]])
    inside = _share_inside(centre, half, down, image.size)
    if inside < _INSIDE:
        raise FacsimileError(
            f"is cropped too close to the face: it has only {inside:.0%} of the aligned square"
        )
    # Corners in the order of PIL: upper left, lower left, lower right, upper right.
    corners = centre + np.stack([-half - down, -half + down, half + down, half - down])
    side = 2 * np.hypot(*half)

    # A crop much larger than the result is reduced first to avoid aliasing.
    factor = int(side / size / 2)
    if factor > 1:
        width, height = (max(1, round(length / factor)) for length in image.size)
        corners *= np.array([width, height]) / image.size
        side /= factor
        image = image.resize((width, height), Image.Resampling.LANCZOS)

    margin = max(round(side * _MARGIN), 3)
    low = np.floor(corners.min(0)).astype(int) - margin
    high = np.ceil(corners.max(0)).astype(int) + margin
    inner_low, inner_high = np.maximum(low, 0), np.minimum(high, image.size)
    image = image.crop((*inner_low, *inner_high))
    corners -= inner_low
    beyond = np.stack([inner_low - low, high - inner_high])
    if beyond.max() > margin:  # more than the margin is missing
        beyond = np.maximum(beyond, max(round(side * _MIRRORED), 1))
        image = _mirror(image, beyond, side * _BLUR)
        corners += beyond[0]

    fine = _SUPERSAMPLING * size
    quad = tuple(corners.flatten())
    crop = image.transform((fine, fine), Image.Transform.QUAD, quad, Image.Resampling.BILINEAR)
    return np.asarray(crop.resize((size, size), Image.Resampling.LANCZOS))


def _square(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Centre and half side (x of the legend) of the square."""
    left_eye, right_eye, mouth_left, mouth_right = points
    eyes = (left_eye + right_eye) / 2
    e = right_eye - left_eye
    m = (mouth_left + mouth_right) / 2 - eyes
    x = e + np.array([m[1], -m[0]])
    x *= max(2.0 * np.hypot(*e), 1.8 * np.hypot(*m)) / np.hypot(*x)
    return eyes + 0.1 * m, x


def _share_inside(
    centre: np.ndarray, right: np.ndarray, down: np.ndarray, size: tuple[int, int]
) -> float:
    """Share of the square that lies in an image of this size, estimated on a grid."""
    steps = (np.arange(32) + 0.5) / 16 - 1
    grid = centre + steps[:, None, None] * right + steps[None, :, None] * down
    return float(((grid >= 0) & (grid <= np.array(size))).all(axis=-1).mean())


def _check(points: np.ndarray, size: tuple[int, int]) -> None:
    left_eye, right_eye, mouth_left, mouth_right = points
    mouth = (mouth_left + mouth_right) / 2
    for name, point in (("left eye", left_eye), ("right eye", right_eye), ("mouth", mouth)):
        if not (0 <= point[0] <= size[0] and 0 <= point[1] <= size[1]):
            x, y = point - 0.5
            raise FacsimileError(
                f"has its {name} at ({x:g}, {y:g}), outside the image of {size[0]} × {size[1]}"
            )
    e, m = right_eye - left_eye, mouth - (left_eye + right_eye) / 2
    if np.hypot(*e) < 1 or np.hypot(*m) < 1:
        raise FacsimileError("has eyes or mouth at the same point")
    if e[0] * m[1] - e[1] * m[0] <= 0:
        raise FacsimileError("has left and right landmarks swapped: left is that of the image")


def _mirror(image: Image.Image, beyond: np.ndarray, blur: float) -> Image.Image:
    """Extend an image on all sides by reflection, blurred towards the edges to hide the border.

    Args:
        image: RGB image.
        beyond: pixels to add, [[left, top], [right, bottom]].
        blur: standard deviation of the blur, pixels.
    """
    (left, top), (right, bottom) = beyond
    pixels = np.asarray(image, np.float32)
    pixels = np.pad(pixels, ((top, bottom), (left, right), (0, 0)), "reflect")
    height, width = pixels.shape[:2]
    column, row = np.arange(width), np.arange(height)[:, None]
    # 1 at the outer edges, 0 at the border of the original image, negative inside it.
    outside = (
        1
        - np.minimum(
            np.minimum(column / left, (width - 1 - column) / right),
            np.minimum(row / top, (height - 1 - row) / bottom),
        )[..., None]
    )
    blurred = ndimage.gaussian_filter(pixels, [blur, blur, 0])
    pixels += (blurred - pixels) * (3 * outside + 1).clip(0, 1)
    pixels += (np.median(pixels, axis=(0, 1)) - pixels) * outside.clip(0, 1)
    return Image.fromarray(pixels.round().clip(0, 255).astype(np.uint8))
