"""Meshes of long hair and eyeglasses around a head, in decimetres as in `HeadModel`."""

import numpy as np

_LOCK_ROWS, _LOCK_COLUMNS = 12, 28
_RIM_SEGMENTS = 28


def _strip_triangles(rows: int, columns: int, closed: bool = False) -> np.ndarray:
    """Triangles (F, 3) of a grid of vertices; `closed` connects the last column to the first."""
    row, column = np.mgrid[: rows - 1, : columns if closed else columns - 1]
    right = (column + 1) % columns
    a, b = row * columns + column, row * columns + right
    c, d = a + columns, b + columns
    return np.concatenate([np.stack([a, b, c], -1), np.stack([b, d, c], -1)]).reshape(-1, 3)


LOCK_TRIANGLES = _strip_triangles(_LOCK_ROWS, _LOCK_COLUMNS)


def locks(half_width: float, length: float, thickness: float, chin: float) -> np.ndarray:
    """Vertices (336, 3) of hair hanging around the back and sides of a head.

    Args:
        half_width: half width of the head including the ears.
        length: 0 ends at the ears, 1 below the shoulders.
        thickness: distance of the hair from the head.
        chin: height of the chin.
    """
    # From in front of one ear (66°) around the back to in front of the other.
    angle = np.radians(np.linspace(66, 294, _LOCK_COLUMNS))
    end = 7.15 - length * (7.15 - (chin - 0.9))
    y = np.linspace(8.05, end, _LOCK_ROWS)[:, None]
    fall = np.clip((8.05 - y) / 0.7, 0, 1)
    swing = 0.10 * np.clip((7.2 - y) / 1.2, 0, 1)
    radius = half_width * (0.72 + 0.24 * fall * (2 - fall)) + thickness * fall + swing
    x = radius * np.sin(angle)
    z = 0.32 + (0.55 + 0.25 * fall) * np.cos(angle)
    return np.stack(np.broadcast_arrays(x, y, z), axis=-1).reshape(-1, 3)


def _superellipse(width: float, height: float, exponent: float) -> np.ndarray:
    t = np.linspace(0, 2 * np.pi, _RIM_SEGMENTS, endpoint=False)
    power = 2 / exponent
    x = width * np.sign(np.cos(t)) * np.abs(np.cos(t)) ** power
    y = height * np.sign(np.sin(t)) * np.abs(np.sin(t)) ** power
    return np.stack([x, y], axis=1)


_RIM = _strip_triangles(2, _RIM_SEGMENTS, closed=True)
_QUAD = np.array([[0, 1, 2], [1, 3, 2]])
_FRAME_PARTS = [2 * _RIM_SEGMENTS, 2 * _RIM_SEGMENTS, 4, 4, 4]
_OFFSETS = np.cumsum([0, *_FRAME_PARTS])
FRAME_TRIANGLES = np.concatenate(
    [mesh + start for mesh, start in zip([_RIM, _RIM, _QUAD, _QUAD, _QUAD], _OFFSETS, strict=False)]
)
# A triangle fan over the inner outline of each rim, rendered as glass.
LENS_TRIANGLES = np.concatenate(
    [
        start
        + np.stack(
            [
                np.zeros(_RIM_SEGMENTS - 2, int),
                np.arange(1, _RIM_SEGMENTS - 1),
                np.arange(2, _RIM_SEGMENTS),
            ],
            axis=1,
        )
        for start in (0, 2 * _RIM_SEGMENTS)
    ]
)


def glasses(
    eyes: np.ndarray,
    ears: np.ndarray,
    front: float,
    width: float,
    height: float,
    squareness: float,
    rim: float,
) -> np.ndarray:
    """Vertices (124, 3) of glasses: two rims (inner, then outer outline), bridge, temples.

    Args:
        eyes: centres of the eyeballs (2, 3), the person's right one first.
        ears: points where the temples rest (2, 3).
        front: z of the brow ridge; the frame lies in front of it.
        width: half-width of a lens.
        height: half-height of a lens.
        squareness: exponent of the lens superellipse, 2 for an ellipse.
        rim: width of the rim.
    """
    z = front + 0.05

    def bent(points: np.ndarray) -> np.ndarray:
        """Add z of the frame's surface, which curves around the face."""
        return np.column_stack([points, z - 0.35 * points[:, 0] ** 2])

    parts = []
    for eye in eyes:
        centre = np.array([eye[0] * 1.04, eye[1] - 0.02])
        inner = _superellipse(width, height, squareness) + centre
        outer = _superellipse(width + rim, height + rim, squareness) + centre
        parts += [bent(inner), bent(outer)]
    gap = np.abs(eyes[:, 0]).mean() * 1.04 - width
    level = eyes[:, 1].mean() + 0.03
    bridge = [[-gap, level + rim], [gap, level + rim], [-gap, level], [gap, level]]
    parts.append(bent(np.array(bridge)))
    for eye, ear in zip(eyes, ears, strict=True):
        hinge = bent(np.array([[eye[0] * 1.04 + np.sign(eye[0]) * (width + rim), level + 0.04]]))[0]
        drop = np.array([0, rim + 0.012, 0])
        parts.append(np.stack([hinge, ear, hinge - drop, ear - drop]))
    return np.concatenate(parts)
