"""Linear head model: coefficients of people and expressions → vertices.

vertices = template + Σ coefficient × displacement, over 24 macro shapes (ethnicity, gender, age,
weight), local shapes of parts of the face, and face units (blend shapes of expressions). The
displacements are sparse, which is much cheaper than a dense matrix product, and they are summed in
a fixed order, so results are bitwise independent of the batch.
"""

from pathlib import Path

import numpy as np
from numba import njit

ASSETS = Path(__file__).parent / "assets"
DELTA_UNIT = 1e-4
"""Displacements are stored as int16 multiples of this (decimetres)."""

PART_SKIN, PART_EYE, PART_UPPER_TEETH, PART_LOWER_TEETH, PART_TONGUE = range(5)
PART_HAIR, PART_FRAME = range(5, 7)

ETHNICITIES = ("african", "asian", "caucasian")
WEIGHTS = ("minweight", "averageweight", "maxweight")

# Standard deviations of the local shapes among people. A name with two ends is one signed value;
# the others are nonnegative. Shapes that resemble an AU (lip corners, brows, lid height …) would
# corrupt the labels, so their deviation is a third of the usual 0.35.
SHAPES: dict[str, float] = {
    "head/head-angle in out": 0.18,
    "head/head-fat decr incr": 0.24,
    "head/head-scale-depth decr incr": 0.18,
    "head/head-scale-horiz decr incr": 0.21,
    "head/head-scale-vert decr incr": 0.21,
    "head/head-diamond": 0.18,
    "head/head-invertedtriangular": 0.21,
    "head/head-oval": 0.24,
    "head/head-rectangular": 0.21,
    "head/head-round": 0.24,
    "head/head-square": 0.21,
    "head/head-triangular": 0.18,
    "forehead/forehead-nubian decr incr": 0.18,
    "forehead/forehead-scale-vert decr incr": 0.21,
    "forehead/forehead-temple decr incr": 0.21,
    "forehead/forehead-trans backward forward": 0.18,
    "eyebrows/eyebrows-angle down up": 0.12,
    "eyebrows/eyebrows-trans down up": 0.12,
    "eyebrows/eyebrows-trans backward forward": 0.3,
    "eyes/l-eye-bag decr incr": 0.3,
    "eyes/l-eye-corner1 down up": 0.2,
    "eyes/l-eye-corner2 down up": 0.2,
    "eyes/l-eye-epicanthus in out": 0.35,
    "eyes/l-eye-eyefold concave convex": 0.35,
    "eyes/l-eye-eyefold-angle down up": 0.25,
    "eyes/l-eye-height1 decr incr": 0.1,
    "eyes/l-eye-height2 decr incr": 0.1,
    "eyes/l-eye-height3 decr incr": 0.1,
    "eyes/l-eye-push1 in out": 0.2,
    "eyes/l-eye-push2 in out": 0.2,
    "eyes/l-eye-scale decr incr": 0.35,
    "eyes/l-eye-trans down up": 0.2,
    "eyes/l-eye-trans in out": 0.3,
    "nose/nose-base down up": 0.3,
    "nose/nose-compression compress uncompress": 0.25,
    "nose/nose-curve concave convex": 0.4,
    "nose/nose-flaring decr incr": 0.12,
    "nose/nose-greek decr incr": 0.35,
    "nose/nose-hump decr incr": 0.35,
    "nose/nose-nostrils-angle down up": 0.12,
    "nose/nose-nostrils-width decr incr": 0.25,
    "nose/nose-point down up": 0.35,
    "nose/nose-point-width decr incr": 0.4,
    "nose/nose-scale-depth decr incr": 0.35,
    "nose/nose-scale-horiz decr incr": 0.4,
    "nose/nose-scale-vert decr incr": 0.35,
    "nose/nose-septumangle decr incr": 0.25,
    "nose/nose-trans down up": 0.2,
    "nose/nose-volume decr incr": 0.35,
    "nose/nose-width1 decr incr": 0.35,
    "nose/nose-width2 decr incr": 0.35,
    "nose/nose-width3 decr incr": 0.35,
    "cheek/l-cheek-bones decr incr": 0.24,
    "cheek/l-cheek-inner decr incr": 0.15,
    "cheek/l-cheek-trans down up": 0.07,
    "cheek/l-cheek-volume decr incr": 0.24,
    "mouth/mouth-angles down up": 0.08,
    "mouth/mouth-cupidsbow decr incr": 0.4,
    "mouth/mouth-cupidsbow-width decr incr": 0.35,
    "mouth/mouth-dimples in out": 0.12,
    "mouth/mouth-laugh-lines in out": 0.12,
    "mouth/mouth-lowerlip-ext down up": 0.1,
    "mouth/mouth-lowerlip-height decr incr": 0.3,
    "mouth/mouth-lowerlip-volume decr incr": 0.35,
    "mouth/mouth-lowerlip-width decr incr": 0.3,
    "mouth/mouth-philtrum-volume decr incr": 0.3,
    "mouth/mouth-scale-horiz decr incr": 0.2,
    "mouth/mouth-scale-vert decr incr": 0.2,
    "mouth/mouth-trans down up": 0.2,
    "mouth/mouth-trans backward forward": 0.2,
    "mouth/mouth-upperlip-ext down up": 0.1,
    "mouth/mouth-upperlip-height decr incr": 0.3,
    "mouth/mouth-upperlip-volume decr incr": 0.35,
    "mouth/mouth-upperlip-width decr incr": 0.3,
    "chin/chin-bones decr incr": 0.24,
    "chin/chin-cleft decr incr": 0.18,
    "chin/chin-height decr incr": 0.21,
    "chin/chin-jaw-drop decr incr": 0.18,
    "chin/chin-prognathism decr incr": 0.15,
    "chin/chin-prominent decr incr": 0.24,
    "chin/chin-triangle": 0.18,
    "chin/chin-width decr incr": 0.24,
    "ears/l-ear-scale decr incr": 0.35,
    "ears/l-ear-wing decr incr": 0.3,
    "ears/l-ear-lobe decr incr": 0.3,
    "neck/neck-double decr incr": 0.18,
    "neck/neck-scale-horiz decr incr": 0.18,
}

# Face unit → AUs that drive it, with its coefficient at AU intensity 1.
FACE_UNITS: dict[str, dict[str, float]] = {
    "browInnerUp": {"AU01": 1.4},
    "browOuterUp": {"AU02": 1.3},
    "browDown": {"AU04": 1.2},
    "eyeWide": {"AU05": 1.3},
    "cheekSquint": {"AU06": 1.6},
    "eyeSquint": {"AU06": 0.7},
    "noseSneer": {"AU09": 1.3},
    "mouthSmile": {"AU12": 0.8},
    "mouthFrown": {"AU15": 1.7},
    "mouthShrugLower": {"AU17": 1.8},
    "mouthShrugUpper": {"AU17": 0.3},
    "mouthStretch": {"AU20": 1.5},
    "mouthLowerDown": {"AU25": 0.9},
    "mouthUpperUp": {"AU25": 0.55},
    "jawOpen": {"AU25": 0.07, "AU26": 0.75},
    "mouthClose": {},  # closes lips that the shape of the face would leave apart
}

# Vertices in the middle of the upper and lower lip, where the lips touch.
_UPPER_LIP, _LOWER_LIP = 474, 493
_LIP_LINE = 0.006


class HeadModel:
    """The head: V vertices, F triangles, C components.

    Attributes:
        names: component → column of its coefficient.
        template: float32 (V, 3) decimetres: x to the person's left, y up, z forwards.
        rest: float32 (V, 3), the mean face; colours depend on it, so they move with the skin.
        triangles: int64 (F, 3) vertex indices.
        parts: uint8 (F,) PART_* of each triangle.
        masks: float32 (V, 4) in [0, 1]: lips, inside of the mouth, ears, visible share of the sky.
    """

    def __init__(self, path: Path = ASSETS / "head.npz") -> None:
        with np.load(path) as arrays:
            self.names = {str(name): c for c, name in enumerate(arrays["names"])}
            self.template = arrays["template"]
            self.rest = arrays["rest"]
            self.triangles = arrays["triangles"].astype(np.int64)
            self.parts = arrays["parts"]
            masks = [arrays[name] for name in ("lips", "mouth", "ears", "occlusion")]
            self.masks = np.stack(masks, axis=1).astype(np.float32) / np.float32(255)
            self._start, self._index = arrays["start"], arrays["index"]
            self._offset = arrays["offset"].astype(np.float32) * np.float32(DELTA_UNIT)
        single = self.vertices(np.eye(len(self.names)))[:, [_UPPER_LIP, _LOWER_LIP], 1]
        apart = self.template[_UPPER_LIP, 1] - self.template[_LOWER_LIP, 1]
        self._lip_gap = np.concatenate([[apart], single[:, 0] - single[:, 1] - apart])

    def close_lips(self, coefficients: np.ndarray) -> None:
        """Set `mouthClose` in one row of C coefficients so that the lips of the face touch.

        Some shapes and ages leave the mouth slightly open, which would look like AU25.
        """
        gap = float(self._lip_gap[0] + coefficients @ self._lip_gap[1:])
        closing = -self._lip_gap[1 + self.names["mouthClose"]]
        coefficients[self.names["mouthClose"]] = np.clip((gap - _LIP_LINE) / closing, 0.0, 0.4)

    def vertices(self, coefficients: np.ndarray) -> np.ndarray:
        """Vertices (N, V, 3), float32 decimetres, for coefficients (N, C)."""
        out = np.repeat(self.template[None], len(coefficients), axis=0)
        _displace(out, coefficients.astype(np.float32), self._start, self._index, self._offset)
        return out


@njit(cache=True)
def _displace(vertices, coefficients, start, index, offset):
    for n in range(len(vertices)):
        for c in range(len(start) - 1):
            weight = coefficients[n, c]
            if weight == 0.0:
                continue
            for k in range(start[c], start[c + 1]):
                v = index[k]
                vertices[n, v, 0] += weight * offset[k, 0]
                vertices[n, v, 1] += weight * offset[k, 1]
                vertices[n, v, 2] += weight * offset[k, 2]
