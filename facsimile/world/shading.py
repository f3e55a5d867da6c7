"""Shading of a face (numba): skin, lips, hair, brows, beard, eyes, mouth.

All colours are smooth functions of the position on the mean face ("rest"), so they move with the
skin and need no textures. Skin folds caused by AUs are painted as creases, because the mesh is too
coarse for them.
"""

import math
from typing import NamedTuple

import numpy as np
from numba import njit

from facsimile.faces.aus import AUS
from facsimile.world.head import (
    PART_EYE,
    PART_FRAME,
    PART_HAIR,
    PART_LOWER_TEETH,
    PART_TONGUE,
    PART_UPPER_TEETH,
)

_AU01, _AU02, _AU04, _AU06, _AU09, _AU12, _AU15, _AU17 = (
    AUS.index(au) for au in ("AU01", "AU02", "AU04", "AU06", "AU09", "AU12", "AU15", "AU17")
)
# Landmarks of the mean face, decimetres.
_EYE_X, _EYE_Y, _EYE_Z = 0.289, 7.356, 1.180


class Paint(NamedTuple):
    """Colours and styles of a person, and lights of a session; see `appearance`."""

    skin: np.ndarray
    lips: np.ndarray
    hair: np.ndarray
    brow: np.ndarray
    iris: np.ndarray
    frame: np.ndarray
    light: np.ndarray
    key: np.ndarray
    ambient: np.ndarray
    top: np.ndarray
    bottom: np.ndarray
    slant: float
    hairline: float
    recession: float
    baldness: float
    brow_density: float
    brow_width: float
    beard_density: float
    moustache: float
    goatee: float
    jaw_beard: float
    wrinkles: float
    gaze_x: float
    gaze_y: float
    gaze_z: float


@njit(cache=True)
def smooth(low, high, x):
    """Smoothstep: 0 below `low`, 1 above `high`, a cubic Hermite curve between."""
    t = min(max((x - low) / (high - low), 0.0), 1.0)
    return t * t * (3.0 - 2.0 * t)


@njit(cache=True)
def line(distance, width):
    """Gaussian profile of a line."""
    return math.exp(-0.5 * (distance / width) ** 2)


@njit(cache=True)
def hairline_height(x, z, hairline, recession):
    """Height of the hairline at a position of the mean head."""
    front = 7.96 + hairline - 0.9 * x * x + recession * smooth(0.25, 0.55, abs(x))
    temple = 7.52 + 0.5 * recession
    if z > 0.95:
        return temple + (front - temple) * smooth(0.95, 1.15, z)
    if z > 0.72:
        return 7.18 + (temple - 7.18) * smooth(0.72, 0.95, z)
    return 6.65 + 0.53 * smooth(0.20, 0.45, z)


@njit(cache=True)
def hairiness(x, y, z, ears, hairline, recession):
    """0 on bare skin … 1 in full hair."""
    if ears > 0.4:
        return 0.0
    return smooth(-0.03, 0.06, y - hairline_height(x, z, hairline, recession))


@njit(cache=True)
def _brow(x, y, width):
    """Density of brow hair at |x|, y, in [0, 1]."""
    t = (x - 0.09) / 0.43
    if t < -0.1 or t > 1.1:
        return 0.0
    height = 7.545 + 0.075 * t - 0.085 * t * t
    thick = width * (1.1 - 0.55 * t)
    ends = smooth(-0.08, 0.08, t) * (1.0 - smooth(0.9, 1.08, t))
    return ends * (1.0 - smooth(0.6, 1.5, abs(y - height) / thick))


@njit(cache=True)
def _beard(x, y, z, paint):
    """Density of beard hair at |x|, y, z, in [0, 1]."""
    if z < 0.45 or y > 7.15:
        return 0.0
    jaw = paint.jaw_beard * (
        smooth(0.0, 0.14, 7.0 - 0.9 * (0.75 - x) - y) * smooth(0.02, 0.12, x - 0.1)
        + smooth(0.0, 0.1, 6.50 - y)
    )
    upper = paint.moustache * smooth(0.0, 0.04, y - 6.77) * smooth(0.0, 0.05, 6.92 - y)
    upper *= 1.0 - smooth(0.22, 0.32, x)
    chin = paint.goatee * smooth(0.0, 0.08, 6.55 - y) * (1.0 - smooth(0.2, 0.32, x))
    sides = (
        paint.goatee * line(x - 0.29, 0.045) * smooth(6.45, 6.55, y) * smooth(0.0, 0.1, 6.85 - y)
    )
    neck = smooth(0.0, 0.12, y - 6.1) if z > 0.9 else smooth(0.0, 0.2, y - 6.2)
    return min(1.0, max(max(jaw, upper), max(chin, sides))) * neck


@njit(cache=True)
def _creases(x, y, z, aus, age):
    """Depth of skin folds at |x|, y, z: 0 none … 1 deep."""
    if z < 0.8:
        return 0.0
    depth = 0.0
    if y > 7.6:
        rows = line(y - 7.68, 0.016) + line(y - 7.765, 0.016) + line(y - 7.85, 0.016)
        inner = 1.0 - smooth(0.15, 0.38, x)
        outer = smooth(0.18, 0.3, x) * (1.0 - smooth(0.48, 0.6, x))
        depth += rows * (0.75 * aus[_AU01] * inner + 0.75 * aus[_AU02] * outer)
        depth += 0.22 * age * rows * (1.0 - smooth(0.35, 0.5, x))
    if 7.4 < y < 7.75:
        furrow = line(x - 0.065, 0.016) * smooth(7.42, 7.5, y) * (1.0 - smooth(7.62, 7.72, y))
        depth += (0.8 * aus[_AU04] + 0.15 * age) * furrow
    if 7.15 < y < 7.5:
        bridge = line(y - 7.30, 0.016) + line(y - 7.38, 0.016)
        depth += 0.75 * aus[_AU09] * bridge * (1.0 - smooth(0.05, 0.12, x))
    if x > 0.4 and 7.1 < y < 7.55:
        feet = line(y - 7.36 - 0.25 * (x - 0.47), 0.014) + line(y - 7.28 + 0.35 * (x - 0.47), 0.014)
        depth += (0.6 * aus[_AU06] + 0.15 * age) * feet * line(x - 0.52, 0.05)
    if 6.55 < y < 7.1:
        fold = line(x - 0.215 - 0.55 * (7.02 - y), 0.022)
        fold *= smooth(6.58, 6.7, y) * (1.0 - smooth(6.98, 7.08, y))
        pull = 0.65 * aus[_AU09] + 0.5 * aus[_AU12] + 0.25 * aus[_AU06] + 0.3 * age
        depth += fold * min(pull, 1.0)
    if y < 6.6:
        crease = line(y - 6.52 - 0.9 * x * x, 0.02) * (1.0 - smooth(0.12, 0.26, x))
        depth += 0.8 * aus[_AU17] * crease
        corner = line(x - 0.30 - 0.3 * (6.6 - y), 0.025) * smooth(6.38, 6.5, y)
        depth += (0.5 * aus[_AU15] + 0.15 * age) * corner
    return min(depth, 1.0)


@njit(cache=True)
def _eye(x, y, z, paint, colour):
    """Set the colour of the eyeball at a rest position; returns the share of light it gets."""
    side = 1.0 if x > 0.0 else -1.0
    dx, dy, dz = x - side * _EYE_X, y - _EYE_Y, z - _EYE_Z
    length = math.sqrt(dx * dx + dy * dy + dz * dz) + 1e-9
    angle = (dx * paint.gaze_x + dy * paint.gaze_y + dz * paint.gaze_z) / length
    # The iris extends to about 29° from the gaze direction, the pupil to about 10°.
    iris = smooth(0.845, 0.885, angle)
    pupil = smooth(0.972, 0.985, angle)
    rim = smooth(0.845, 0.88, angle) * (1.0 - smooth(0.88, 0.92, angle))
    for c in range(3):
        white = 0.74 - 0.04 * c
        inner = paint.iris[c] * (1.0 - 0.5 * rim)
        inner += (0.008 - inner) * pupil
        colour[c] = white + (inner - white) * iris
    return 1.0 - 0.55 * smooth(0.02, 0.075, dy) - 0.25 * smooth(0.09, 0.14, abs(dx))


@njit(cache=True)
def _skin(x, y, z, masks, aus, paint, colour):
    """Set the colour of skin, lips and hair at a rest position; returns its gloss."""
    lips, mouth, ears = masks[0], masks[1], masks[2]
    side = abs(x)
    inside = smooth(0.45, 0.75, mouth)
    lip = smooth(0.25, 0.7, lips) * (1.0 - inside)
    flush = 0.5 * line(side - 0.42, 0.16) * line(y - 7.0, 0.14) + 0.4 * line(side, 0.12) * line(
        y - 7.0, 0.1
    )
    flush = flush * smooth(0.9, 1.2, z) + 0.3 * ears
    brow = paint.brow_density * _brow(side, y, paint.brow_width) * smooth(0.85, 1.0, z)
    beard = paint.beard_density * _beard(side, y, z, paint) * (1.0 - lip) * (1.0 - inside)
    hair = hairiness(x, y, z, ears, paint.hairline, paint.recession) * (1.0 - paint.baldness)
    fold = 1.0 - 0.55 * _creases(side, y, z, aus, paint.wrinkles)
    for c in range(3):
        value = paint.skin[c]
        if c > 0:
            value *= 1.0 - 0.18 * flush
        value += (paint.lips[c] - value) * lip
        value *= fold
        value += (paint.hair[c] * 0.9 - value) * beard
        value += (paint.brow[c] - value) * brow
        value += (paint.hair[c] - value) * hair
        value += ((0.16 if c == 0 else 0.03) - value) * inside
        colour[c] = value
    return (0.10 + 0.10 * lip) * (1.0 - hair) * (1.0 - beard)


@njit(cache=True)
def background(row, column, side, paint, colour):
    """Set the colour of the background gradient."""
    t = row / side + paint.slant * (column / side - 0.5)
    t = min(max(t, 0.0), 1.0)
    for c in range(3):
        colour[c] = paint.top[c] + (paint.bottom[c] - paint.top[c]) * t


@njit(cache=True)
def shade(seen, barycentric, glass, triangles, parts, rest, normals, masks, aus, paint, out):
    """Shade all samples and average 2×2 samples per pixel.

    Args:
        seen: int32 (2S, 2S) visible triangle, -1 for the background.
        barycentric: float32 (2S, 2S, 2) weights of the second and third vertex.
        glass: bool (2S, 2S), whether a sample is behind a lens.
        triangles: (F, 3) vertex indices.
        parts: (F,) PART_*.
        rest: (V, 3) positions on the mean face.
        normals: (V, 3) unit normals in camera space.
        masks: (V, 4): lips, inside of the mouth, ears, visible share of the sky.
        aus: (12,) intensities.
        paint: a `Paint`.
        out: uint8 (S, S, 3), receives sRGB pixels.
    """
    side = len(seen)
    colour, total, mask = np.empty(3), np.empty(3), np.empty(4)
    for row in range(side // 2):
        for column in range(side // 2):
            total[:] = 0.0
            for sample in range(4):
                sy, sx = 2 * row + sample // 2, 2 * column + sample % 2
                f = seen[sy, sx]
                if f < 0:
                    background(sy, sx, side, paint, colour)
                    total += colour
                    continue
                v, w = barycentric[sy, sx, 0], barycentric[sy, sx, 1]
                u = 1.0 - v - w
                a, b, c = triangles[f, 0], triangles[f, 1], triangles[f, 2]
                x = u * rest[a, 0] + v * rest[b, 0] + w * rest[c, 0]
                y = u * rest[a, 1] + v * rest[b, 1] + w * rest[c, 1]
                z = u * rest[a, 2] + v * rest[b, 2] + w * rest[c, 2]
                nx = u * normals[a, 0] + v * normals[b, 0] + w * normals[c, 0]
                ny = u * normals[a, 1] + v * normals[b, 1] + w * normals[c, 1]
                nz = u * normals[a, 2] + v * normals[b, 2] + w * normals[c, 2]
                size = math.sqrt(nx * nx + ny * ny + nz * nz) + 1e-9
                nx, ny, nz = nx / size, ny / size, nz / size
                if nz < 0.0:
                    nx, ny, nz = -nx, -ny, -nz
                for k in range(4):
                    mask[k] = u * masks[a, k] + v * masks[b, k] + w * masks[c, k]

                part = parts[f]
                sky, gloss = mask[3], 0.0
                if part == PART_EYE:
                    sky = _eye(x, y, z, paint, colour)
                    nx, ny, nz = 0.4 * nx, 0.4 * ny, 0.4 * nz + 0.6
                elif part in (PART_UPPER_TEETH, PART_LOWER_TEETH):
                    colour[0], colour[1], colour[2] = 0.62, 0.58, 0.50
                    sky = 0.35 + 0.65 * smooth(1.15, 1.33, z)
                elif part == PART_TONGUE:
                    colour[0], colour[1], colour[2] = 0.36, 0.10, 0.10
                    sky = 0.30 + 0.45 * smooth(0.9, 1.25, z)
                elif part == PART_HAIR:
                    colour[:] = paint.hair
                elif part == PART_FRAME:
                    colour[:] = paint.frame
                    gloss = 0.05
                else:
                    gloss = _skin(x, y, z, mask, aus, paint, colour)
                    # The mask ignores the lips, which hide the sky from the inside of the mouth.
                    sky *= 1.0 - 0.65 * smooth(0.45, 0.75, mask[1])

                # Wrapped Lambert: light bleeds past the terminator, as on skin.
                facing = nx * paint.light[0] + ny * paint.light[1] + nz * paint.light[2]
                diffuse = max((facing + 0.25) / 1.25, 0.0) * (0.35 + 0.65 * sky)
                around = sky * (0.75 + 0.25 * ny)
                hx, hy, hz = paint.light[0], paint.light[1], paint.light[2] + 1.0
                half = math.sqrt(hx * hx + hy * hy + hz * hz)
                shine = max((nx * hx + ny * hy + nz * hz) / half, 0.0) ** 16 * gloss
                for k in range(3):
                    lit = colour[k] * (paint.key[k] * diffuse + paint.ambient[k] * around)
                    lit += shine * paint.key[k]
                    if glass[sy, sx]:
                        lit = 0.86 * lit + 0.025
                    total[k] += lit
            for k in range(3):
                linear = min(max(total[k] / 4.0, 0.0), 1.0)
                # sRGB transfer function (IEC 61966-2-1).
                if linear <= 0.0031308:
                    value = 12.92 * linear
                else:
                    value = 1.055 * linear ** (1 / 2.4) - 0.055
                out[row, column, k] = np.uint8(value * 255.0 + 0.5)


@njit(cache=True)
def vertex_normals(vertices, triangles, normals):
    """Write unit normals (V, 3): area-weighted sums over the triangles around each vertex."""
    normals[:] = 0.0
    for f in range(len(triangles)):
        a, b, c = triangles[f, 0], triangles[f, 1], triangles[f, 2]
        px, qx = vertices[b, 0] - vertices[a, 0], vertices[c, 0] - vertices[a, 0]
        py, qy = vertices[b, 1] - vertices[a, 1], vertices[c, 1] - vertices[a, 1]
        pz, qz = vertices[b, 2] - vertices[a, 2], vertices[c, 2] - vertices[a, 2]
        nx, ny, nz = py * qz - pz * qy, pz * qx - px * qz, px * qy - py * qx
        for v in (a, b, c):
            normals[v, 0] += nx
            normals[v, 1] += ny
            normals[v, 2] += nz
    for v in range(len(normals)):
        size = math.sqrt(normals[v, 0] ** 2 + normals[v, 1] ** 2 + normals[v, 2] ** 2) + 1e-12
        for k in range(3):
            normals[v, k] /= size
