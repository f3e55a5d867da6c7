"""Pictures whose "AUs" are visible: a bar in a row of its own for each, in one of three colours.

All of it lies within the part of a picture that detectors look at.
"""

import numpy as np

from facsimile.faces.aus import AUS


def bars(faces: int, seed: int, size: int = 64) -> tuple[np.ndarray, np.ndarray]:
    """uint8 images (N, size, size, 3) and the lengths (N, 12) of their bars, half of them 0."""
    rng = np.random.default_rng(seed)
    aus = rng.uniform(0.3, 1, (faces, len(AUS))) * (rng.random((faces, len(AUS))) < 0.5)
    images = rng.integers(60, 90, (faces, size, size, 3)).astype(np.uint8)
    middle, top = size // 2, size // 8
    row = (size - 2 * top) // len(AUS)
    for face, values in zip(images, aus, strict=True):
        for k, value in enumerate(values):
            reach, edge = round(value * (middle - top)), top + k * row
            face[edge : edge + row - 1, middle - reach : middle + reach, k % 3] = 250
    return images, aus.astype(np.float32)
