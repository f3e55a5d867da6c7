"""Near-duplicates among generated faces, found by comparing thumbnails."""

import numpy as np
from sklearn.neighbors import NearestNeighbors

from facsimile.faces.picture_store import StoredPictures

THUMBNAIL_SIDE = 16  # pixels
_BATCH = 256


def near_duplicates(
    images: np.ndarray | StoredPictures, active: np.ndarray, kept: np.ndarray, rms: float
) -> np.ndarray:
    """Row of the earlier face that each face duplicates, or -1, (N,).

    Faces with different active AUs are never duplicates, because their labels differ. Only the
    thumbnails of faces with the same active AUs are in memory at a time.

    Args:
        images: uint8 (N, H, W, 3), in memory or in a file.
        active: AU presence (N, 12), NaN where unknown.
        kept: (N,) bool, faces to compare; all others get -1.
        rms: root mean square difference of thumbnails, as a share of the full range, below which
            two faces count as duplicates.
    """
    original = np.full(len(images), -1)
    kept_rows = np.flatnonzero(kept)
    labels = np.nan_to_num(active[kept_rows], nan=-1)
    _, group = np.unique(labels, axis=0, return_inverse=True)
    for number in range(group.max(initial=-1) + 1):
        rows = kept_rows[group == number]
        parts = [rows[start : start + _BATCH] for start in range(0, len(rows), _BATCH)]
        thumbnails = np.concatenate([_thumbnails(images[part]) for part in parts])
        radius = rms * np.sqrt(thumbnails.shape[1])
        search = NearestNeighbors(radius=radius).fit(thumbnails)
        for start in range(0, len(rows), _BATCH):
            found = search.radius_neighbors(
                thumbnails[start : start + _BATCH], return_distance=False
            )
            for row, near in enumerate(found, start):
                earlier = near[(near < row) & (original[rows[near]] < 0)]
                if earlier.size:
                    original[rows[row]] = rows[earlier.min()]
    return original


def _thumbnails(images: np.ndarray) -> np.ndarray:
    """Thumbnails (N, THUMBNAIL_SIDE² · 3) in [0, 1] of uint8 images, by area averaging."""
    side = images.shape[1] - images.shape[1] % THUMBNAIL_SIDE
    step = side // THUMBNAIL_SIDE
    blocks = images[:, :side, :side].reshape(-1, THUMBNAIL_SIDE, step, THUMBNAIL_SIDE, step, 3)
    return blocks.mean((2, 4), dtype=np.float32).reshape(len(images), -1) / 255
