"""Z-buffer rasteriser (numba): the visible triangle of each sample."""

import numpy as np
from numba import njit


@njit(cache=True)
def rasterize(screen, triangles, first, last, two_sided, depth, seen, barycentric):
    """Draw triangles `first` … `last`-1 into the buffers.

    Barycentric weights are linear on the screen, without perspective correction: the triangles of
    a head are small enough.

    Args:
        screen: float32 (V, 3): column, row (both in samples), depth (smaller is nearer).
        triangles: (F, 3) vertex indices.
        first, last: range of triangles to draw.
        two_sided: also draw triangles that face away from the camera.
        depth: float32 (S, S), in and out.
        seen: int32 (S, S), in and out: index of the visible triangle, -1 for none.
        barycentric: float32 (S, S, 2), out: weights of the second and third vertex.
    """
    rows, columns = depth.shape
    for f in range(first, last):
        a, b, c = triangles[f, 0], triangles[f, 1], triangles[f, 2]
        ax, ay, az = screen[a, 0], screen[a, 1], screen[a, 2]
        bx, by, bz = screen[b, 0] - ax, screen[b, 1] - ay, screen[b, 2] - az
        cx, cy, cz = screen[c, 0] - ax, screen[c, 1] - ay, screen[c, 2] - az
        area = bx * cy - by * cx
        # Rows grow downwards, so a triangle that faces the camera has a negative area.
        if area > -1e-9 and (not two_sided or area < 1e-9):
            continue
        low_x = max(int(np.ceil(ax + min(0.0, bx, cx) - 0.5)), 0)
        high_x = min(int(np.floor(ax + max(0.0, bx, cx) - 0.5)), columns - 1)
        low_y = max(int(np.ceil(ay + min(0.0, by, cy) - 0.5)), 0)
        high_y = min(int(np.floor(ay + max(0.0, by, cy) - 0.5)), rows - 1)
        for y in range(low_y, high_y + 1):
            py = y + 0.5 - ay
            for x in range(low_x, high_x + 1):
                px = x + 0.5 - ax
                v = (px * cy - py * cx) / area
                w = (bx * py - by * px) / area
                if v < 0.0 or w < 0.0 or v + w > 1.0:
                    continue
                z = az + v * bz + w * cz
                if z < depth[y, x]:
                    depth[y, x] = z
                    seen[y, x] = f
                    barycentric[y, x, 0] = v
                    barycentric[y, x, 1] = w


def depth_map(screen: np.ndarray, triangles: np.ndarray, size: int) -> np.ndarray:
    """Nearest depth per sample, float32 (size, size); infinite in the background."""
    depth = np.full((size, size), np.inf, np.float32)
    seen = np.full((size, size), -1, np.int32)
    weights = np.zeros((size, size, 2), np.float32)
    rasterize(screen, triangles, 0, len(triangles), True, depth, seen, weights)
    return depth
