"""Images of face tables of which only a batch is in memory at a time.

All images of a large dataset do not fit into memory. `iter_images` is for those that look at each
image once. For those that come back to it, `picture_store` decodes each once into a file that all
processes of a stage read: then images take up the page cache of the system, which shrinks when
memory is needed, and not the memory of any process.
"""

import shutil
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
import pyarrow as pa

from facsimile.errors import FacsimileError
from facsimile.faces.tables import decode_images, iter_rows

_BATCH = 64

Progress = Callable[[str, int], AbstractContextManager[Callable[[int], None]]]
"""Shows the progress of a task, given its name and the number of faces; yields ``advance(n)``."""


def iter_images(
    table: Path, sample_ids: Collection[str], batch_size: int, column: str = "image"
) -> Iterator[tuple[list[str], np.ndarray]]:
    """Decode some faces of a face table, `batch_size` at a time, in the order of the table.

    Args:
        table: the face table.
        sample_ids: ids of the faces.
        batch_size: faces per batch; only the last one has fewer.
        column: the column of images.

    Yields:
        Ids, and images uint8 (B, H, W, 3).

    Raises:
        FacsimileError: the table is unreadable, or an image is unusable; see `decode_images`.
    """

    def decode(rows: pa.Table) -> tuple[list[str], np.ndarray]:
        names = rows["sample_id"].to_pylist()
        faces = pd.DataFrame({"sample_id": names, "image": rows[column].to_pylist()})
        return names, decode_images(faces, str(table))

    pending: list[pa.Table] = []
    for rows in iter_rows(table, batch_size, sample_ids, ["sample_id", column]):
        merged = pa.concat_tables([*pending, rows])
        if len(merged) >= batch_size:
            yield decode(merged.slice(0, batch_size))
            merged = merged.slice(batch_size)
        pending = [merged] if len(merged) else []
    if pending:
        yield decode(pending[0])


@dataclass(frozen=True)
class StoredPictures:
    """Images in a file, indexed like an array uint8 (N, H, W, 3), of which only a part is read.

    A pickled copy is a path and row numbers, so that processes share the file.

    Attributes:
        path: file of a `PictureStore`.
        size: height and width of the images.
        rows: (N,) positions in the file.
    """

    path: Path
    size: tuple[int, int]
    rows: np.ndarray

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(N, H, W, 3)"""
        return (len(self.rows), *self.size, 3)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: slice | np.ndarray) -> np.ndarray:
        """Images uint8 (B, H, W, 3) of a slice, of B row numbers or of a mask (N,)."""
        rows = self.rows[index]
        if not len(rows):
            return np.empty((0, *self.size, 3), np.uint8)
        # Mapped for this read only: the pages of a mapping count as memory of the process.
        pixels = np.memmap(self.path, np.uint8, "r")
        return pixels.reshape(-1, *self.size, 3)[rows]


class PictureStore:
    """Decodes images of face tables into a file, each once; see `picture_store`.

    Args:
        path: the file to create.
        progress: shows how far a table is decoded.
    """

    def __init__(self, path: Path, progress: Progress) -> None:
        self._path = path.absolute()
        self._progress = progress
        self._size: tuple[int, int] | None = None
        self._count = 0
        self._rows: defaultdict[tuple[str, str], dict[str, int]] = defaultdict(dict)

    def decode(self, faces: pd.DataFrame, column: str = "image") -> StoredPictures:
        """Images of faces, in their order; those not in the store yet are decoded.

        A table is read as a whole if any face of it is new, so it is faster to decode all faces
        at once, and to select some of them later, than to decode them in parts.

        Args:
            faces: sample_id, and ``table``, the path of the face table with the image.
            column: the column of images.

        Raises:
            FacsimileError: a table has no such face, an image is unusable or differs in size from
                the first one in the store, or the disk has no room for the images.
        """
        for table, ids in faces.groupby("table", sort=False)["sample_id"]:
            missing = frozenset(ids) - self._rows[table, column].keys()
            if missing:
                self._append(Path(table), column, missing)
        places = zip(faces["table"], faces["sample_id"], strict=True)
        rows = [self._rows[table, column][sample_id] for table, sample_id in places]
        return StoredPictures(self._path, self._size or (0, 0), np.array(rows, np.int64))

    def _append(self, table: Path, column: str, sample_ids: frozenset[str]) -> None:
        stored, left = self._rows[str(table), column], len(sample_ids)
        with self._path.open("ab") as file, self._progress(f"decode {table}", left) as advance:
            for names, images in iter_images(table, sample_ids, _BATCH, column):
                self._check(images, left, table, names[0])
                file.write(images)
                stored.update(zip(names, range(self._count, self._count + len(names)), strict=True))
                self._count += len(names)
                left -= len(names)
                advance(len(names))
        if absent := sample_ids - stored.keys():
            raise FacsimileError(f"{table}: no face {min(absent)}; write the table again")

    def _check(self, images: np.ndarray, count: int, table: Path, name: str) -> None:
        """Check the size of images, and that the disk has room for `count` of them."""
        size = images.shape[1:3]
        if self._size is None:
            self._size = size
        if size != self._size:
            raise FacsimileError(f"{table}: {name}: image is {size}, but others are {self._size}")
        needed, free = count * images[0].nbytes, shutil.disk_usage(self._path.parent).free
        if needed > free:
            raise FacsimileError(
                f"{table}: {count:,} images need {needed / 1e9:,.1f} GB of disk space when decoded,"
                f" but {free / 1e9:,.1f} GB are free; free some space"
            )


def _silent(name: str, total: int) -> AbstractContextManager[Callable[[int], None]]:
    return nullcontext(lambda count: None)


@contextmanager
def picture_store(folder: Path, progress: Progress = _silent) -> Iterator[PictureStore]:
    """A store whose file is removed at the end.

    Args:
        folder: folder on the disk to use; it should be the temporary folder of a stage, so that the
            file is removed even after the process was killed.
        progress: shows how far a table is decoded.
    """
    with TemporaryDirectory(prefix="pictures-", dir=folder) as temporary:
        yield PictureStore(Path(temporary) / "pictures.uint8", progress)
